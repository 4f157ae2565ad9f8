# What the scenarios share: a lab, VMMs with a QMP client each, and the verdict. Sourced by bash scripts that define scene().
#
# A scenario is played once under each policy, with a new lab: what a driver can know of a migration is all that differs. `notify`
# and `enforce+notify` have a VMM that gives the driver notice (--notify), the others one that does not, as stock QEMU. A scenario that
# is about something else sets POLICIES to that, KIND to what it is called, and BLOCKER to the one policy.
set -u
LC_ALL=C
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$ROOT" || exit 1
# How to call mdevsim; may be several words.
MDEVSIM=${MDEVSIM:-$ROOT/scripts/mdevsim}
POLICIES=(observe track notify enforce enforce+notify)
KIND=policy
BLOCKER=
# Of the lab's devices.
TYPE=mtty-2
SOURCE=11111111-1111-4111-8111-111111111111
TARGET=22222222-2222-4222-8222-222222222222
SPARE=33333333-3333-4333-8333-333333333333
# Seconds that any one thing may take, and everything under one policy.
LIMIT=20
SCENE_LIMIT=60

fail() {
  echo "$(basename "$0"), under $POLICY: $*" >&2
  local log
  for log in "$DIR"/*.log; do [ -e "$log" ] && tail -n 15 "$log" | sed "s|^|  $(basename "$log" .log): |" >&2; done
  exit 1
}

# lab [OPTION...]: mounts one, with a device for the source, one for the target, and a spare one. It ends with this shell.
lab() {
  LAB=$DIR/lab
  mkdir "$LAB"
  mkfifo "$DIR/lab.ready"
  timeout -k 2 $SCENE_LIMIT $MDEVSIM mount "$LAB" --blocker "${BLOCKER:-${POLICY%+*}}" --for $BASHPID "$@" \
    --mdev $TYPE,uuid=$SOURCE --mdev $TYPE,uuid=$TARGET --mdev $TYPE,uuid=$SPARE >"$DIR/lab.ready" 2>"$DIR/lab.log" &
  PIDS+=($!)
  read -r -t $LIMIT _ <"$DIR/lab.ready" || fail 'the lab did not start'
}

# knob UUID NAME VALUE: injects a fault.
knob() { echo "$3" >"$LAB/sys/kernel/debug/mdevsim/$1/$2" || fail "could not set $2"; }

state() { cat "$LAB"/sys/kernel/debug/vfio/"$1"/migration/state; }

# start NAME UUID [OPTION...]: a VMM in the background. opened NAME...: waits for them, each with a QMP client of its own then.
start() {
  local name=$1 uuid=$2
  shift 2
  mkfifo "$DIR/$name.ready"
  if [[ $POLICY == *notify ]]; then set -- --notify "$@"; fi
  timeout -k 2 $SCENE_LIMIT $MDEVSIM vmm --lab "$LAB" --device "$uuid,id=vf0" --qmp "unix:$DIR/$name.qmp" --log "$@" \
    >"$DIR/$name.ready" 2>"$DIR/$name.log" &
  PIDS+=($!)
  # Opened here, so that neither side waits for the other.
  exec {fd}<>"$DIR/$name.ready"
  READY[$name]=$fd
}
opened() {
  local name in out
  for name; do
    read -r -t $LIMIT -u "${READY[$name]}" _ || fail "the VMM $name did not start"
    mkfifo "$DIR/$name.in" "$DIR/$name.out"
    exec {in}<>"$DIR/$name.in" {out}<>"$DIR/$name.out"
    IN[$name]=$in OUT[$name]=$out SEEN[$name]=
    node -e 'const s = require("net").connect(process.argv[1]); process.stdin.pipe(s).on("error", () => 0).pipe(process.stdout)' \
      "$DIR/$name.qmp" <&"$in" >&"$out" &
    PIDS+=($!)
    qmp "$name" '"qmp_capabilities"' >/dev/null
    qmp "$name" '"migrate-set-capabilities", "arguments": {"capabilities": [{"capability": "events", "state": true}]}' >/dev/null
  done
}

# send NAME COMMAND: the command is what comes after "execute": in QMP.
send() {
  ID=$((ID + 1))
  printf '{"id": %d, "execute": %s}\n' $ID "$2" >&"${IN[$1]}"
}
# await NAME REGEX: the next line from the VMM that matches, in LINE. Events that came before it count as not yet seen.
await() {
  local name=$1 regex=$2 line rest=
  while IFS= read -r line; do
    [ -n "$line" ] || continue
    if [ -n "$regex" ] && [[ $line =~ $regex ]]; then LINE=$line regex=; else rest+=$line$'\n'; fi
  done <<<"${SEEN[$name]}"
  SEEN[$name]=$rest
  [ -n "$regex" ] || return 0
  while IFS= read -r -t $LIMIT -u "${OUT[$name]}" line; do
    if [[ $line =~ $regex ]]; then LINE=$line; return 0; fi
    SEEN[$name]+=$line$'\n'
  done
  fail "$name said nothing like $regex; but: ${SEEN[$name]}"
}
# qmp NAME COMMAND: prints the reply.
qmp() {
  send "$@"
  await "$1" "\"id\": $ID[,}]"
  LINE=${LINE%$'\r'}
  echo "$LINE"
}

migrate() { send source "\"migrate\", \"arguments\": {\"uri\": \"unix:$DIR/${1:-target}.migration\"}"; }
incoming() { echo "--incoming unix:$DIR/$1.migration"; }
# held NAME STEP: until a break point holds it there. go NAME: lets it go on, and not be held there again.
held() { await "$1" "X_MDEVSIM_BREAK.*\"$2\""; }
go() {
  qmp "$1" "\"x-mdevsim-break\", \"arguments\": {\"step\": \"$2\", \"enable\": false}" >/dev/null
  qmp "$1" '"x-mdevsim-continue"' >/dev/null
}
# ended: the end of the source's migration, as its events tell it, in END: completed, failed or cancelled. They tell it before the VMM has
# put everything in order; each of the two parts that are left is in the main loop's queue before one of the commands.
ended() {
  await source '"status": "(completed|failed|cancelled)"'
  END=${BASH_REMATCH[1]}
  qmp source '"query-status"' >/dev/null
  qmp source '"query-status"' >/dev/null
}
# logged NAME TEXT
logged() { grep -qF -- "$2" "$DIR/$1.log"; }

# block VALUE [UUID]: what an administrator does; ANSWER is "accepted" or the error.
block() {
  local file=$LAB/sys/bus/mdev/devices/${2:-$SOURCE}/migration_block
  if ANSWER=$( { echo "$1" >"$file"; } 2>&1 ); then ANSWER=accepted; else ANSWER=${ANSWER##*: }; fi
}

# blocker NAME: what the VMM has made of the eventfd, in BLOCKER; the handler is in its main loop's queue before this command.
blocker() {
  qmp "$1" '"query-status"' >/dev/null
  if logged "$1" 'the blocker was refused with EBUSY'; then BLOCKER='refused with EBUSY'
  elif logged "$1" 'migration is blocked'; then BLOCKER=added
  else BLOCKER=none; fi
}

say() { printf '  %-16s%s\n' "$POLICY:" "$*"; }
# verdict COMMAND...: the scenario is seen under this policy when the command says so.
verdict() { if "$@"; then echo seen >"$DIR/verdict"; else echo 'not seen' >"$DIR/verdict"; fi; }

quit() {
  trap - EXIT
  # A lab must not be waited for by somebody whom it waits for: first the VMMs, then the lab, which unmounts itself.
  local pid
  [ ${#PIDS[@]} -lt 2 ] || kill "${PIDS[@]:1}" 2>/dev/null
  for pid in "${PIDS[@]:1}"; do wait "$pid"; done 2>/dev/null
  [ ${#PIDS[@]} -lt 1 ] || { kill "${PIDS[0]}"; wait "${PIDS[0]}"; } 2>/dev/null
  [ "$1" = 0 ] && cat "$DIR/verdict"
  rm -rf --one-file-system "$DIR"
  exit "$1"
}

play() {
  POLICY=$1
  DIR=$(mktemp -d "${TMPDIR:-/tmp}/mdevsim-scenario-XXXXXX") || exit 1
  PIDS=() ID=0
  declare -gA READY IN OUT SEEN
  trap 'quit $?' EXIT
  trap 'exit 1' INT TERM HUP
  scene >&3
}

# scenario NAME [POLICY...]: plays scene() under each policy, and says in one line where it was seen.
scenario() {
  local name=$1 policy verdict yes= no=
  shift
  case ${1-} in
    -*) echo "Usage: $(basename "$0") [${KIND^^}...]        (default: ${POLICIES[*]})"; [ "$1" = --help ] || [ "$1" = -h ]; exit ;;
  esac
  [ $# -gt 0 ] || set -- "${POLICIES[@]}"
  for policy; do
    [[ " ${POLICIES[*]} " == *" $policy "* ]] || { echo "$(basename "$0"): a $KIND is one of ${POLICIES[*]}, not $policy" >&2; exit 2; }
  done
  # Built once, and by one process.
  $MDEVSIM --version >/dev/null || exit 1
  echo "$name"
  for policy; do
    verdict=$(play "$policy") || exit 1
    if [ "$verdict" = seen ]; then yes+=", $policy"; else no+=", $policy"; fi
  done 3>&1
  yes=${yes#, } no=${no#, }
  echo "seen under: ${yes:-none}; not under: ${no:-none}"
}
