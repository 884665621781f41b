#!/bin/sh
# systemctl of a machine whose only unit is in this directory. It starts and stops the real server; `mode` makes it err.
cd "$(dirname "$0")/.." || exit 1
. ./unit
verb=
for argument; do
    case $argument in -*) ;; *) verb=${verb:-$argument} ;; esac
done
pid=$(cat pid 2>/dev/null || echo 0)
mode=$(cat mode 2>/dev/null || true)

# What nobody has buried yet is dead as well.
alive() {
    [ "$pid" != 0 ] && state=$(cut -d' ' -f3 "/proc/$pid/stat" 2>/dev/null) && [ "$state" != Z ]
}

stop() {
    alive && kill -TERM "$pid"
    while alive; do sleep 0.05; done
}

start() {
    (
        set -a
        . ./server.env
        set +a
        setsid sh -c 'echo $$ >pid; exec "$0" serve' "$PROGRAM" </dev/null >>log 2>&1 &
    )
    sleep 0.2
    # Until it says that it is ready.
    while ! curl --silent --fail --output /dev/null "$URL/livez"; do
        pid=$(cat pid)
        alive || { echo "Job for $UNIT.service failed because the control process exited with error code." >&2; exit 1; }
        sleep 0.05
    done
}

echo "$*" >>calls
case $verb in
show)
    alive && active=active || { active=inactive pid=0; }
    [ "$mode" = stuck ] && [ -e asked ] && pid=4000000
    printf '%s\n' LoadState=loaded "ActiveState=$active" SubState=running "MainPID=$pid" "User=$(cat user 2>/dev/null)" Environment= \
        "ExecStart={ path=$PROGRAM ; argv[]=$PROGRAM serve ; ignore_errors=no }" NeedDaemonReload=no \
        "EnvironmentFiles=$PWD/server.env (ignore_errors=no)" "WorkingDirectory=$PWD"
    ;;
is-active) alive ;;
reload) kill -HUP "$pid" ;;
start) start ;;
restart)
    case $mode in
    stuck) touch asked ;;
    hangs) exec sleep 1000 ;;
    denied) echo "Failed to restart $UNIT.service: Interactive authentication required." >&2; exit 1 ;;
    *) stop; start ;;
    esac
    ;;
esac
