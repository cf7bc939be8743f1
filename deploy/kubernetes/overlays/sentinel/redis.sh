#!/bin/sh
# A Redis server whose role the Sentinels decide: redis.sh start|ready|leave [OPTIONS OF REDIS]
#   start   as the primary if most Sentinels name this server, or else as a replica of the one that they name
#   ready   whether it is the primary, or a replica in step with it: exit code 0 or 1
#   leave   lets another server become the primary, before this one stops
# SELF is the host and port by which others reach this server, SENTINELS those of the Sentinels. REDISCLI_AUTH is the
# password of the user `servers`, USERS the file of all users, DATA the folder of the data.
set -eu
port=${SELF##*:}

ask() { # HOST:PORT WORDS…: the answer of a server or Sentinel; nothing without one
  place=$1
  shift
  timeout 2 redis-cli -e -h "${place%:*}" -p "${place##*:}" --user servers --raw "$@" 2>/dev/null || true
}

named_primary() { # HOST PORT, as two Sentinels or more name it; nothing without them
  for sentinel in $SENTINELS; do
    ask "$sentinel" sentinel get-master-addr-by-name jobs | tr '\n' ' '
    echo
  done | grep . | sort | uniq -d | head -n 1
}

known_replicas() {
  for sentinel in $SENTINELS; do
    ask "$sentinel" sentinel replicas jobs
  done
}

# Without data no server becomes the primary of replicas that have some: they would copy the emptiness.
is_empty_primary() {
  [ "$1" = "${SELF%:*} $port" ] && [ ! -e "$DATA/appendonlydir" ] && [ -n "$(known_replicas)" ]
}

role() {
  ask "$SELF" role | head -n 1
}

case $1 in
  start)
    shift
    until primary=$(named_primary) && primary=${primary% } && [ -n "$primary" ] && ! is_empty_primary "$primary"; do
      echo "waits for the Sentinels to name a primary" >&2
      sleep 1
    done
    if [ "$primary" = "${SELF%:*} $port" ]; then following=; else following="replicaof $primary"; fi
    # The password comes by standard input, so no process list shows it.
    exec redis-server - "$@" <<END
port $port
dir $DATA
aclfile $USERS
masteruser servers
masterauth $REDISCLI_AUTH
replica-announce-ip ${SELF%:*}
replica-announce-port $port
$following
END
    ;;
  ready)
    case $(ask "$SELF" role | tr '\n' ' ') in
      "master "* | "slave "*" connected "*) ;;
      *) exit 1 ;;
    esac
    ;;
  leave)
    [ "$(role)" = master ] || exit 0
    for sentinel in $SENTINELS; do
      [ "$(ask "$sentinel" sentinel failover jobs)" = OK ] && break
    done
    tries=20
    while [ "$(role)" = master ] && [ $tries -gt 0 ]; do
      tries=$((tries - 1))
      sleep 1
    done
    ;;
esac
