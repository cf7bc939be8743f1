#!/bin/sh
# Secrets of the Redis of an overlay, with new passwords: redis-secrets.sh single|sentinel|cluster FOLDER [rights]
#   url            REDIS_URL of the API and the workers
#   password       of the user job-server, as in url
#   servers        the password of Redis servers among themselves (not for single)
#   users.acl      the users of Redis; sentinels.acl those of the Sentinels (sentinel alone)
# `rights`: after an upgrade, only the users are written anew, with the passwords that the folder has.
set -eu
umask 077
here=$(cd "$(dirname "$0")" && pwd)
overlay=${1:?"name the overlay: single, sentinel or cluster"}
folder=${2:?"name a folder for the secrets"}
users=$here/../../redis-users.acl

new_password() {
  head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'
}

with_passwords() {
  printf 's/^user job-server on /&>%s /\ns/^user servers on /&>%s /\n' \
    "$(cat "$folder/password")" "$(cat "$folder/servers" 2>/dev/null)" >"$folder/passwords.sed"
  cat "$@" | sed -f "$folder/passwords.sed"
  rm "$folder/passwords.sed"
}

refuse() {
  echo "$1" >&2
  exit 2
}

case $overlay in
  single) passwords=password ;;
  sentinel | cluster) passwords="password servers" ;;
  *) refuse "$overlay: no such overlay; name single, sentinel or cluster" ;;
esac
case ${3:-new} in
  new)
    mkdir -p "$folder"
    [ ! -e "$folder/password" ] || refuse "$folder/password: there is one already; name another folder for new passwords"
    for name in $passwords; do new_password >"$folder/$name"; done
    ;;
  rights)
    for name in $passwords; do
      [ -s "$folder/$name" ] || refuse "$folder/$name: missing or empty; put the password there that is in use"
    done
    ;;
  *) refuse "$3: not known; name rights, or nothing" ;;
esac

password=$(cat "$folder/password")
case $overlay in
  single)
    with_passwords "$users" >"$folder/users.acl"
    url=redis://job-server:$password@redis:6379/0
    ;;
  sentinel)
    with_passwords "$users" "$here/overlays/sentinel/servers.acl" >"$folder/users.acl"
    with_passwords "$here/overlays/sentinel/sentinels.acl" >"$folder/sentinels.acl"
    url=redis+sentinel://job-server:$password@sentinel-0.sentinel,sentinel-1.sentinel,sentinel-2.sentinel/jobs/0
    url="$url?sentinel_username=job-server&sentinel_password=$password"
    ;;
  cluster)
    with_passwords "$users" "$here/overlays/cluster/servers.acl" >"$folder/users.acl"
    url=redis+cluster://job-server:$password@redis-0.redis,redis-1.redis,redis-2.redis
    ;;
esac
[ "${3:-new}" = rights ] || printf %s "$url" >"$folder/url"
