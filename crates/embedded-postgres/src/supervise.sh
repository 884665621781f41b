# Runs one PostgreSQL for the process at the other end of standard input and ends with it, even when
# that process is killed: the kernel closes the pipe, so nobody has to say good-bye.
#
# Arguments: bin home sockets temporary durable port, then postgres' own. The first line of standard
# input is the superuser's password. Standard output is a lock that postgres inherits. Standard error
# goes to the owner and gets the end of the log.
set -u
umask 077
trap '' HUP INT TERM
bin=$1 home=$2 sockets=$3 temporary=$4 durable=$5 port=$6
shift 6
read -r password || exit 1
exec 3<&0 </dev/null

# A directory that is there already is somebody else's.
[ "$temporary" = no ] || mkdir "$home" || exit 1
cd "$home" || exit 1
[ ! -f log ] || mv -f log log.previous
: >log || exit 1

clear_up() {
    cd /
    rm -rf -- "$sockets"
    [ "$temporary" = no ] || rm -rf -- "$home"
}

finish() {
    tail -c 3000 log >&2
    clear_up
    exit "$1"
}

# Runs a command until it ends by itself or has to. A shell's background command ignores INT until
# it installs its own handler, so INT is sent again and again; QUIT and KILL are for one that hangs.
# The watcher does what is left to do when this very shell ($$) was killed.
supervise() {
    "$@" 2>>log 3<&- &
    child=$!
    {
        read -r _
        seconds=0 signal=INT
        while [ $seconds -lt 40 ] && kill -s $signal $child; do
            sleep 1
            seconds=$((seconds + 1))
            [ $seconds -lt 20 ] || signal=QUIT
            [ $seconds -lt 30 ] || signal=KILL
        done
        kill -s 0 $$ || clear_up
    } <&3 >/dev/null 2>&1 &
    watcher=$!
    wait $child
    status=$?
    { kill -s KILL $watcher; wait $watcher; } 2>/dev/null
}

# Made under another name first: a directory called `data` is always whole.
if [ ! -d data ]; then
    rm -rf data.new
    printf '%s\n' "$password" >password || finish 1
    [ "$durable" = yes ] && sync= || sync=--no-sync
    supervise "$bin/initdb" -D "$home/data.new" -U postgres --pwfile="$home/password" \
        --auth=scram-sha-256 --encoding=UTF8 --no-locale --no-instructions $sync >>log
    [ $status -eq 0 ] || finish $status
    mv data.new data || finish 1
fi

# What a killed run left in it, too, goes.
rm -rf -- "$sockets" && mkdir "$sockets" && printf '%s\n' "$port" >port || finish 1
supervise "$bin/postgres" -D "$home/data" -k "$sockets" -p "$port" "$@"
finish $status
