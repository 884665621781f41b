# Runs a program for the process at the other end of standard input and ends it with that process, even when that one
# is killed: the kernel closes the pipe, so nobody has to say good-bye.
exec 3<&0 </dev/null
"$@" 3<&- &
child=$!
{
    read -r _ <&3
    seconds=0
    while [ $seconds -lt 5 ] && kill $child; do
        sleep 1
        seconds=$((seconds + 1))
    done
    kill -s KILL $child
} >/dev/null 2>&1 &
watcher=$!
wait $child
status=$?
{ kill -s KILL $watcher; wait $watcher; } 2>/dev/null
exit $status
