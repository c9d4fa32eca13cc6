#!/usr/bin/env bash
# Ray 2.60.0. `ray.init()`, which starts a cluster of this machine alone, leaves a token in the user's home.
# Every later `ray start --head` of that user then demands it, with no setting changed: a machine or a user
# without the token cannot join a cluster that was open before. Seen: a driver in an empty home joins the head
# of a user who never called `ray.init()`, and is refused by that of one who did.
set -euo pipefail
folder=$(mktemp -d /tmp/rayXXXX)
finish() {
    for each in /proc/[0-9]*; do  # what was started here; `ray stop` would end the clusters of others
        if { tr '\0' '\n' < "$each/environ"; } 2>/dev/null | grep -qx "RAY_TMPDIR=$folder/t"; then
            kill -9 "${each#/proc/}" 2>/dev/null || true
        fi
    done
    rm -rf "$folder"
}
trap finish EXIT
unset RAY_ADDRESS RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_AUTH_TOKEN_PATH
mkdir "$folder/t" "$folder/fresh" "$folder/used" "$folder/other"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ray==2.60.0
export RAY_TMPDIR="$folder/t" RAY_USAGE_STATS_ENABLED=0
python="$folder/venv/bin/python"
options="include_dashboard=False, log_to_driver=False, logging_level='ERROR'"
HOME="$folder/used" "$python" -c "import ray; ray.init(num_cpus=1, $options)" > /dev/null 2>&1
ls -l "$folder/used/.ray/auth_token"
join() {  # a driver in a home, which joins the head at a port
    HOME="$folder/$1" timeout 90 "$python" -c "import ray; ray.init('127.0.0.1:$2', $options)" > "$folder/said" 2>&1
}
start() {
    HOME="$folder/$1" "$folder/venv/bin/ray" start --head --port "$2" --node-ip-address 127.0.0.1 \
        --num-cpus 1 --include-dashboard false > /dev/null 2>&1
}
start fresh 6521
join other 6521
echo "a driver without the token joins the head of a home where ray.init() was never called"
start used 6522
if join other 6522; then echo "the behaviour has changed: it joins"; exit 1; fi
echo "and not that of a home where it was: $(tail -1 "$folder/said")"
RAY_AUTH_MODE=token join used 6522
echo "which a driver with the token joins"
echo "ray 2.60.0: after a local ray.init() of the same user, 'ray start --head' demands a token"
