#!/bin/sh
# A Sentinel of the service `jobs`: sentinel.sh [OPTIONS OF REDIS]
# It keeps its file, so that it comes back with its id, its votes and the primary that it knows.
# SELF is the host and port by which others reach it, FIRST those of the server that is the primary at the very first
# start. REDISCLI_AUTH is the password of the user `servers`, USERS the file of the Sentinels' users, DATA its folder.
set -eu
umask 077
file=$DATA/sentinel.conf

if [ ! -e "$file" ]; then
  cat >"$file.new" <<END
sentinel monitor jobs ${FIRST%:*} ${FIRST##*:} 2
sentinel down-after-milliseconds jobs ${DOWN_AFTER_MILLISECONDS:-5000}
sentinel failover-timeout jobs ${FAILOVER_TIMEOUT_MILLISECONDS:-30000}
END
else
  grep -Ev '^(port|dir|aclfile|sentinel (resolve-hostnames|announce-|auth-|sentinel-))' "$file" >"$file.new"
fi
# Written at each start, so that a new password counts.
cat >>"$file.new" <<END
port ${SELF##*:}
dir $DATA
aclfile $USERS
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip ${SELF%:*}
sentinel announce-port ${SELF##*:}
sentinel auth-user jobs servers
sentinel auth-pass jobs $REDISCLI_AUTH
sentinel sentinel-user servers
sentinel sentinel-pass $REDISCLI_AUTH
END
mv "$file.new" "$file"
exec redis-server "$file" --sentinel "$@"
