#!/bin/sh
# A node of a Redis Cluster: node.sh start|ready|leave|create [OPTIONS OF REDIS]
#   start    the node; beside it, a loop that meets nodes which have come back with another address
#   ready    whether it is a primary, or a replica in step with its primary: exit code 0 or 1
#   leave    lets a replica take over, before this node stops
#   create   the cluster out of new nodes: the first three are primaries, the others their replicas in turn. What is
#            half made is completed, and a cluster stays as it is
# NODES are host and port of all nodes, SELF those of this one, ADDRESS its IP address. REDISCLI_AUTH is the password of the
# user `servers`, USERS the file of all users, DATA the folder of the data.
set -eu
primaries=3
slots=16384

ask() { # HOST:PORT WORDS…: the answer of a node; nothing without one
  place=$1
  shift
  timeout 2 redis-cli -e -h "${place%:*}" -p "${place##*:}" --user servers --raw "$@" 2>/dev/null || true
}

myself() { # HOST:PORT: the node's line about itself
  ask "$1" cluster nodes | grep myself || true
}

address() { # HOST:PORT: the IP address and port that the node announces
  myself "$1" | sed 's/^[^ ]* \(.*\)@.*$/\1/'
}

id() {
  myself "$1" | cut -d ' ' -f 1
}

meet() { # A B: node A meets node B; an IP address is all that the command takes
  found=$(address "$2")
  [ -z "$found" ] || ask "$1" cluster meet "${found%:*}" "${found##*:}" >/dev/null
}

info() { # HOST:PORT NAME: a figure of CLUSTER INFO
  ask "$1" cluster info | tr -d '\r' | sed -n "s/^$2://p"
}

# Pods come back with other addresses. If all do at once, no node knows where the others are.
meet_lost_nodes() {
  [ "$(info "$SELF" cluster_known_nodes)" -gt 1 ] 2>/dev/null || return 0
  known=$(ask "$SELF" cluster nodes | grep ' connected' || true)
  for node in $NODES; do
    found=$(address "$node")
    case $known in
      *" $found@"*) ;;
      *) meet "$SELF" "$node" ;;
    esac
  done
}

wait_until() { # WORDS…: until the command succeeds
  until "$@"; do sleep 1; done
}

all() { # COMMAND WORDS…: whether it succeeds for each node
  for each in $NODES; do
    "$@" "$each" || return 1
  done
}

answers() {
  [ "$(ask "$1" ping)" = PONG ]
}

knows() { # COUNT NODE
  [ "$(info "$2" cluster_known_nodes)" = "$1" ]
}

is_up() {
  [ "$(info "$1" cluster_state)" = ok ]
}

has_slots() {
  myself "$1" | cut -d ' ' -f 9- | grep -q .
}

assemble() { # the nodes, all primaries, of which the first three have the slots
  number=0
  for node in $NODES; do
    number=$((number + 1))
    ask "$node" cluster set-config-epoch $number >/dev/null # refused where it is set
    [ "$node" = "$first" ] || meet "$first" "$node"
  done
  wait_until all knows "$count"
  number=0
  for node in $NODES; do
    [ $number -lt $primaries ] || break
    has_slots "$node" || ask "$node" cluster addslotsrange \
      $((slots * number / primaries)) $((slots * (number + 1) / primaries - 1)) >/dev/null
    number=$((number + 1))
  done
}

create() {
  wait_until all answers
  count=$(echo "$NODES" | wc -w)
  first=${NODES%% *}
  [ "$(info "$first" cluster_slots_assigned)" = $slots ] || assemble
  number=0
  for node in $NODES; do
    if is_idle "$node"; then
      knows "$count" "$node" || meet "$first" "$node"
      primary=$(echo "$NODES" | cut -d ' ' -f $((number % primaries + 1)))
      wait_until follows "$node" "$(id "$primary")"
    fi
    number=$((number + 1))
  done
  wait_until all is_up
  echo "the cluster has $count nodes"
}

is_idle() { # NODE: whether it is a primary without slots
  [ "$(ask "$1" role | head -n 1)" = master ] && ! has_slots "$1"
}

follows() { # NODE ID: whether a node is a replica of a primary; it is told to become one
  [ "$(ask "$1" cluster replicate "$2")" = OK ]
}

leave() {
  [ "$(ask "$SELF" role | head -n 1)" = master ] || return 0
  # The first replica in step; hosts stand behind their addresses.
  replica=$(ask "$SELF" cluster nodes | grep " slave $(id "$SELF") .* connected" | head -n 1 \
    | sed 's/^[^ ]* [^ ]*:\([0-9]*\)@[0-9]*,\([^ ,]*\).*/\2:\1/')
  [ -n "$replica" ] || return 0
  ask "$replica" cluster failover >/dev/null
  tries=20
  while [ "$(ask "$SELF" role | head -n 1)" = master ] && [ $tries -gt 0 ]; do
    tries=$((tries - 1))
    sleep 1
  done
}

start() {
  while sleep "${MEET_SECONDS:-5}" && kill -0 $$ 2>/dev/null; do meet_lost_nodes || true; done &
  # The password comes by standard input, so no process list shows it.
  exec redis-server - "$@" <<END
port ${SELF##*:}
dir $DATA
aclfile $USERS
masteruser servers
masterauth $REDISCLI_AUTH
cluster-enabled yes
cluster-announce-ip $ADDRESS
cluster-announce-hostname ${SELF%:*}
cluster-preferred-endpoint-type hostname
END
}

case $1 in
  start)
    shift
    start "$@"
    ;;
  ready)
    case $(ask "$SELF" role | tr '\n' ' ') in
      "master "* | "slave "*" connected "*) ;;
      *) exit 1 ;;
    esac
    ;;
  leave) leave ;;
  create) create ;;
esac
