#!/bin/sh
# Backup of Redis while it runs: writes a copy of its append-only files to standard output, as a tar archive.
# copy-redis.sh [FOLDER], the folder of Redis' data; /data without it. No command is sent to Redis, so no right is needed.
#
# Redis replaces its files when it rewrites them, and the manifest names those that belong together. So the files are
# linked first, which takes milliseconds, and again if the manifest has changed meanwhile. The last file still grows: it is
# copied, because tar wants files that stand still. A last write that is there in part is dropped when Redis loads it.
set -eu

cd "${1:-/data}"
folder=appendonlydir
manifest=$folder/appendonly.aof.manifest
test -f "$manifest" || { echo "copy-redis.sh: $PWD has no $manifest; name the folder of Redis' data" >&2; exit 2; }

copy=.backup.$$
trap 'rm -rf "$copy"' EXIT
tries=0
while :; do
  rm -rf "$copy"
  mkdir -p "$copy/$folder"
  cp "$manifest" "$copy/$manifest"
  linked=yes
  while read -r _ name _; do
    last=$copy/$folder/$name
    ln "$folder/$name" "$last" 2>/dev/null || linked=no
  done <"$copy/$manifest"
  if [ $linked = yes ] && cmp -s "$manifest" "$copy/$manifest"; then break; fi
  tries=$((tries + 1))
  if [ $tries -ge 20 ]; then
    echo "copy-redis.sh: the files in $PWD could not be linked in 20 tries; see that links can be made there" >&2
    exit 1
  fi
  sleep 1
done

cp "$last" "$last.copy"
mv "$last.copy" "$last"

# GNU's tar returns 1 for a file that has changed, and for no error; so it does once Redis has removed a file, which its
# link outlives.
status=0
tar -C "$copy" -cf - "$folder" || status=$?
if [ $status -eq 1 ] && tar --version 2>/dev/null | grep -q GNU; then status=0; fi
exit $status
