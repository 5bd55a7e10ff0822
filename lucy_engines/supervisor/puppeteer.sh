#!/bin/sh
# PID 1 of a node's container, for images without Python 3.7: puppeteer.py in POSIX sh. That file says what is spoken;
# this one does the same, less what needs a relay (tagged lines, TCP, filters), which it refuses by name. Needs mkdir,
# mkfifo, sleep, date, rm, sed, tr and /proc. An end by signal is told from the status, so a daemon that exits with 137 by itself counts
# as killed; times are to the hundredth, a grace to the second.
#
# All that happens comes through one queue, a FIFO that is open at both ends here: commands from a reader, the daemon's
# end from a watcher, and a tick each second. So nothing is waited for in two places; and a signal whose trap a shell puts
# off (bash does, when it arrives just before a builtin waits) is heard at the next tick at the latest.

[ "$1" != -- ] || shift
if [ $# = 0 ]; then
    echo "puppeteer.sh: say which daemon to run: puppeteer.sh -- <argv>" >&2
    exit 64
fi

log=${LUCY_LOG:-/lucy/log}
streams=$LUCY_STREAMS
stderr_log=${LUCY_STDERR_LOG:-/lucy/log.stderr}
capture=${LUCY_CAPTURE:-fifo}
active=${LUCY_ACTIVE_FILE:-/root/daemon-active}
token=$LUCY_TOKEN
state=$LUCY_STATE
directory=$LUCY_NODE_DIRECTORY
autostart=$LUCY_AUTOSTART
filter=$LUCY_CAPTURE_FILTER
user=$LUCY_USER
stop_signal=${LUCY_STOP_SIGNAL:-15}
stop_to=${LUCY_STOP_TO:-group}

for place in "${TMPDIR:-/tmp}" /dev/shm /run "${directory:-.}"; do
    place=$place/.lucy-puppeteer-$$
    mkdir -m 700 "$place" 2>/dev/null && break
done
mkfifo "$place/queue" || exit 70
exec 3<>"$place/queue" 4<&0
rm -rf "$place"

pid=          # the daemon's leader, while there is one
watcher=      # the shell that waits for it
asked=        # whether somebody wanted it to end
deadline=     # when it will be killed, in hundredths of a second
started=0     # when it was started
starting=     # number of the command that awaits its start
waiting=      # numbers of the commands that await its end
ends=0
other=        # what the next start may have in the place of the arguments, quoted as on the link
given=        # whether the directory is the user's by now
terminating=
terminated= stopped= begun= # signals that came; a node's own environment may well have such names
newline=

say() { printf '%s\n' "$1"; }
clean() { printf '%s' "$1" | tr -d '\000-\037"\\'; }
reply() { if [ -z "$2" ]; then say "{\"reply\":$1,\"ok\":true}"; else say "{\"reply\":$1,\"error\":\"$2\"}"; fi; }

now() { # -> $now, hundredths of a second since boot
    read -r now _ </proc/uptime
    now=${now%.*}${now#*.}
}

family() { # -> $members: all that the daemon started, and all orphans, which are PID 1's
    table=
    for file in /proc/[0-9]*/stat; do
        { IFS= read -r line <"$file"; } 2>/dev/null || continue
        rest=${line##*) }
        kind=${rest%% *}
        rest=${rest#* }
        [ "$kind" = Z ] || table="$table ${rest%% *}:${line%% *}"
    done
    members=" "
    grown=1
    while [ -n "$grown" ]; do
        grown=
        for pair in $table; do
            parent=${pair%%:*}
            child=${pair#*:}
            case " $reader $ticker $watcher $members" in *" $child "*) continue ;; esac
            if [ "$child" = "$pid" ] || [ "$parent" = $$ ]; then
                members="$members$child "
                grown=1
            else
                case $members in *" $parent "*) members="$members$child " grown=1 ;; esac
            fi
        done
    done
    [ "$members" != " " ]
}

send() { # signal, to all of them
    for member in $members; do kill "-$1" "$member" 2>/dev/null; done
}

whose() { # -> $uid $gid $login $home $groups $way: as whom the daemon runs, and how it becomes that
    login=${user%%:*} uid='' gid='' home='' way='' known='' groups=clear
    while IFS=: read -r its_name _ its_uid its_gid _ its_home _; do
        if [ "$its_name" = "$login" ] || [ "$its_uid" = "$login" ]; then
            login=$its_name uid=$its_uid gid=$its_gid home=$its_home known=1 groups=init
            break
        fi
    done </etc/passwd
    case $user in
    *:*[!0-9]*)
        gid=
        while IFS=: read -r its_name _ its_gid _; do [ "$its_name" != "${user#*:}" ] || gid=$its_gid; done </etc/group
        ;;
    *:*)
        gid=${user#*:}
        case $login in *[!0-9]*) ;; *) uid=${uid:-$login} ;; esac
        ;;
    esac
    if [ -z "$uid" ] || [ -z "$gid" ]; then
        refusal="this image has no user or group $(clean "$user")"
    elif setpriv --reuid "$uid" --regid "$gid" --clear-groups true 2>/dev/null; then
        way=setpriv
    elif [ "$user" = "$login" ] && su -p -s /bin/sh "$login" -c true 2>/dev/null; then
        way=su
    else
        refusal="this image has neither Python 3.7 or newer nor setpriv, one of which it takes to run as $(clean "$user")"
    fi
}

# What a shell starts in the background ignores these two, unless something undoes that, which busybox can't, or the
# program wants them.
undo=
env --default-signal=INT,QUIT true 2>/dev/null && undo='env --default-signal=INT,QUIT'

become() { # argv
    # shellcheck disable=SC2086
    case $way in
    '') exec $undo "$@" ;;
    setpriv) exec $undo setpriv --reuid "$uid" --regid "$gid" "--$groups-groups" "$@" ;;
    su) exec $undo su -p -s /bin/sh "$login" -c 'exec "$0" "$@"' "$@" ;;
    esac
}

refusal() { # -> $refusal: why the daemon can't be started
    refusal=
    [ -z "$user" ] || whose
    [ -z "$refusal" ] || return 0
    if [ -n "$pid$starting" ]; then
        refusal="the daemon runs already"
    elif [ -n "$terminating" ]; then
        refusal="the container is being stopped"
    elif [ -n "$filter" ]; then
        refusal="this image has no Python 3.7 or newer, which a capture filter needs"
    elif [ "$capture" != fifo ] && [ "$capture" != engine ]; then
        refusal="this image has no Python 3.7 or newer, which capture by $capture needs; use --capture engine"
    elif [ "$capture" = engine ] && [ "$streams" = apart ]; then
        refusal="this image has no Python 3.7 or newer, which capture by engine needs to tell stdout and stderr apart"
    elif ! command -v "$1" >/dev/null 2>&1; then
        refusal="can't run $(clean "$1"): No such file or directory"
    elif [ "$capture" = fifo ] && [ -e "$log" ] && [ ! -w "$log" ]; then
        refusal="$log: Permission denied"
    elif [ "$streams" = apart ] && [ -e "$stderr_log" ] && [ ! -w "$stderr_log" ]; then
        refusal="$stderr_log: Permission denied"
    elif [ -n "$user" ] && [ -n "$directory" ] && [ -z "$given" ]; then
        if said=$(chown -R -h "$uid:$gid" "$directory" 2>&1); then
            given=1
        else
            said=$(printf '%s' "$said" | tail -n 1)
            refusal="can't give $directory to $(clean "$user"): $(clean "$said")"
        fi
    fi
}

start() { # number of the command, fresh or not, its words, --, argv
    starting=$1
    if [ "$2" = fresh ] && [ -n "$state" ] && [ -L "$state" ]; then # what a link leads to is not the daemon's
        rm -f "$state" && mkdir -m 700 "$state"
    elif [ "$2" = fresh ] && [ -n "$state" ] && [ -d "$state" ]; then
        rm -rf "$state"/* "$state"/.[!.]* "$state"/..?*
    fi
    [ -z "$user" ] || [ ! -d "$state" ] || chown -h "$uid:$gid" "$state"
    shift 2
    asked= deadline=
    (
        trap - TERM INT USR1 USR2
        unset LUCY_CAPTURE LUCY_LOG LUCY_ADDRESS LUCY_TOKEN LUCY_STATE LUCY_AUTOSTART LUCY_CAPTURE_FILTER
        unset LUCY_NODE_DIRECTORY LUCY_USER LUCY_STOP_SIGNAL LUCY_STOP_TO LUCY_STREAMS LUCY_STDERR_LOG
        unset LUCY_STDERR_ADDRESS
        if [ -n "$known" ]; then
            # What is there of PID 1's own says nothing of the daemon's.
            case ${HOME:-/root} in /root) HOME=$home ;; esac
            case ${USER:-root} in root) USER=$login ;; esac
            case ${LOGNAME:-root} in root) LOGNAME=$login ;; esac
            export HOME USER LOGNAME
        fi
        others=
        while [ "$1" != -- ]; do
            case $1 in
            *=*)
                # A command substitution drops newlines at its end, so something stands behind them.
                word=$(printf '%bx' "$1")
                export "${word%x}"
                ;;
            other) others=1 ;;
            esac
            shift
        done
        shift
        if [ -n "$others" ]; then
            set -- "$1"
            for word in $other; do
                word=$(printf '%bx' "${word#+}")
                set -- "$@" "${word%x}"
            done
        fi
        # A FIFO is opened for reading too: for writing alone it would wait for its reader.
        if [ "$capture" = engine ]; then exec 5>&2; elif [ -p "$log" ]; then exec 5<>"$log"; else exec 5>>"$log"; fi
        if [ "$streams" != apart ]; then
            exec 6>&5
        elif [ -p "$stderr_log" ]; then
            exec 6<>"$stderr_log"
        else
            exec 6>>"$stderr_log"
        fi
        exec 2>/dev/null # bash reports whom it saw die
        (
            [ -z "$directory" ] || cd "$directory"
            become "$@" </dev/null >&5 2>&6 3>&- 4>&- 5>&- 6>&-
        ) &
        echo "started $!" >&3
        wait $!
        echo "exited $?" >&3
    ) &
    watcher=$!
    other=
}

stop() { # seconds
    [ -n "$pid" ] || return 0
    asked=1
    now
    seconds=${1%%.*}
    wanted=$((now + ${seconds:-0} * 100))
    [ -n "$deadline" ] && [ "$deadline" -lt "$wanted" ] || deadline=$wanted
    family || return 0
    if [ "$1" != 0 ]; then
        if [ "$stop_to" = daemon ]; then kill "-$stop_signal" "$pid" 2>/dev/null; else send "$stop_signal"; fi
        send CONT
    fi
}

ended() { # status of the daemon, as `wait` has it
    now
    while family; do send KILL; done
    ends=$((ends + 1))
    after=$((now - started))
    after=$((after / 100)).$(printf %02d $((after % 100)))
    code=$1 signal=null how="exited with code $1"
    if [ "$1" -gt 128 ] && [ "$1" -le 192 ]; then
        signal=SIG$(kill -l "$1")
        code=null how="was killed by $signal" signal="\"$signal\""
    fi
    pid= watcher=
    rm -f "$active" 2>/dev/null
    [ "$capture" != engine ] || printf '\036LUCY %s %d\n' "$token" "$ends" >&2
    exited="{\"timestamp\":\"$(date -u '+%Y-%m-%d %H:%M:%S').000000Z\",\"level\":\"Info\",\"puppeteer_script_event\":true,\
\"puppeteer_event_type\":\"node_exited\",\"message\":\"daemon $how $after s after its start\",\
\"metadata\":{\"code\":$code,\"signal\":$signal,\"after\":$after}}"
    offline='{"puppeteer_script_event": true, "puppeteer_event_type": "node_offline", "level": "Info", "message":"daemon is being stopped'
    offline="$offline by puppeteer script and is going offline\"}"
    if [ "$autostart" = 1 ]; then
        # A killed daemon may have left half a line.
        [ "$code" != null ] || newline='\n'
        if [ "$capture" = engine ]; then
            printf "$newline%s\n%s\n" "$exited" "$offline" >&2
        elif [ -p "$log" ]; then
            printf "$newline%s\n%s\n" "$exited" "$offline" 1<>"$log"
        fi
        [ "$streams" != apart ] || [ ! -p "$stderr_log" ] || printf '%b' "$newline" 1<>"$stderr_log"
        newline=
    fi
    for line in "$exited" "$offline"; do
        say "{\"event\":\"log\",\"line\":\"$(printf %s "$line" | sed 's/["\\]/\\&/g')\"}"
    done
    say "{\"event\":\"exited\",\"code\":$code,\"signal\":$signal,\"at\":$(date +%s),\"after\":$after,\"number\":$ends}"
    for number in $waiting; do reply "$number"; done
    waiting=
    if [ -n "$terminating" ]; then finish 0; fi
    if [ "$autostart" = 1 ] && [ -z "$asked" ]; then finish "$1"; fi
}

finish() { # status
    exec 2>/dev/null
    kill -KILL "$reader" "$ticker"
    exit "$1"
}

obey() { # number verb word...
    number=$1 verb=$2
    case $number in *[!0-9]* | '')
        say "{\"event\":\"complaint\",\"text\":\"a command begins with its number, not with $(clean "$number")\"}"
        return
        ;;
    esac
    shift 2 2>/dev/null || shift $#
    case $verb in
    stop | kill)
        [ "$verb" = stop ] || set -- 0
        if [ -n "$pid$starting" ]; then
            stop "${1:-0}"
            waiting="$waiting $number"
        else
            reply "$number"
        fi
        ;;
    signal)
        case $#:$1 in
        2:*[!0-9]* | 2: | [!2]:*) reply "$number" "a signal is a number, and whom it goes to" && return ;;
        esac
        if [ -n "$pid" ]; then
            if [ "$2" = daemon ]; then kill "-$1" "$pid" 2>/dev/null; elif family; then send "$1"; fi
        fi
        reply "$number"
        ;;
    arguments)
        other=$*
        reply "$number"
        ;;
    ping) reply "$number" ;;
    *) reply "$number" "no verb is called $(clean "$verb")" ;;
    esac
}

set_off() { # number of the command or nothing, its words, --, argv
    number=$1
    shift
    fresh=
    for word in "$@"; do
        case $word in
        --) break ;;
        fresh) fresh=fresh ;;
        *=*)
            name=${word%%=*}
            case $name in
            [0-9]* | '' | *[!A-Za-z0-9_]*)
                reply "$number" "a shell can't set the variable $(clean "$name"), and this image has no Python 3.7 or newer"
                return
                ;;
            esac
            ;;
        esac
    done
    start "$number" "$fresh" "$@"
}

trap 'terminated=1' TERM INT
trap 'stopped=1' USR1
trap 'begun=1' USR2
rm -f "$active" 2>/dev/null

# In the background a shell has no stdin but /dev/null: hence descriptor 4. A queue keeps lines whole up to 4,096 bytes.
(
    trap - TERM INT USR1 USR2
    while IFS= read -r line; do
        while [ ${#line} -gt 2000 ]; do
            piece=$(printf '%.2000s' "$line")
            printf 'more %s\n' "$piece"
            line=${line#"$piece"}
        done
        printf 'link %s\n' "$line"
    done
) <&4 >&3 &
reader=$!
(
    trap '' TERM INT USR1 USR2
    while kill -0 $$ 2>/dev/null; do
        sleep 1
        echo tick
    done
) >&3 4<&- &
ticker=$!

say '{"event":"ready","version":1,"form":"shell"}'
if [ "$autostart" = 1 ]; then
    refusal "$1"
    if [ -n "$refusal" ]; then
        say "{\"event\":\"complaint\",\"text\":\"$refusal\"}"
        finish 127
    fi
    set_off none -- "$@"
fi

held=
while :; do
    line=
    IFS= read -r line <&3
    word=${line%% *}
    rest=${line#* }
    case $word in
    more) held=$held$rest ;;
    link)
        command=$held$rest
        held=
        case $command in
        *' start' | *' start '*)
            number=${command%% *}
            words=${command#* start}
            refusal "$1"
            if [ -n "$refusal" ]; then
                reply "$number" "$refusal"
            else
                # The words hold no character that a shell would take for more than itself.
                # shellcheck disable=SC2086
                set_off "$number" $words -- "$@"
            fi
            ;;
        # shellcheck disable=SC2086
        ?*) obey $command ;;
        esac
        ;;
    started)
        pid=$rest
        now
        started=$now
        { true >"$active"; } 2>/dev/null
        say "{\"event\":\"started\",\"pid\":$pid,\"at\":$(date +%s)}"
        [ "$starting" = none ] || reply "$starting"
        starting=
        [ -z "$waiting$terminating" ] || stop 0
        ;;
    exited) ended "$rest" ;;
    tick) : "$(:)" ;; # waits for a child, and thus for orphans too
    esac
    if [ -n "$terminated" ]; then
        terminated=
        terminating=1
        stop 8
        [ -n "$pid$starting" ] || finish 0
    fi
    if [ -n "$stopped" ]; then
        stopped=
        stop 8
    fi
    if [ -n "$begun" ]; then
        begun=
        refusal "$1"
        [ -n "$refusal" ] || set_off none -- "$@"
    fi
    if [ -n "$pid" ] && [ -n "$deadline" ]; then
        now
        if [ "$now" -ge "$deadline" ]; then
            family && send KILL
        fi
    fi
done
