#!/usr/bin/env bash
# joblib 1.6.0. `joblib.cpu_count()` takes the CPU quota of control groups into account, but reads it from
# /sys/fs/cgroup itself, not from the group that the process is in. In a container, which sees its own group
# as the root, that is right; in a service or a batch job of the same machine it is not: `n_jobs=-1` starts
# more workers than may run. Seen: 2 CPUs in a group with a quota of half of one. Needs root on Linux.
set -euo pipefail
folder=$(mktemp -d)
for top in /sys/fs/cgroup/cpu /sys/fs/cgroup; do
    [ -e "$top/cpu.cfs_quota_us" ] || [ -e "$top/cgroup.controllers" ] && break
done
group="$top/finding-$$"
trap 'rm -rf "$folder"; rmdir "$group"' EXIT
mkdir "$group"
if [ -e "$group/cpu.cfs_quota_us" ]; then
    echo 50000 > "$group/cpu.cfs_quota_us"
else
    echo "50000 100000" > "$group/cpu.max"
fi
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet joblib==1.6.0
cat > "$folder/look.py" <<'PYTHON'
import os
import sys
import time

import joblib

with open(f"{sys.argv[1]}/cgroup.procs", "w") as file:
    file.write(str(os.getpid()))
start = time.process_time(), time.perf_counter()
while time.perf_counter() - start[1] < 1:
    pass
used = (time.process_time() - start[0]) / (time.perf_counter() - start[1])
allowed, found = len(os.sched_getaffinity(0)), joblib.cpu_count()
print(f"a busy loop gets {used:.2f} CPUs; joblib.cpu_count() is {found}")
assert used < 0.7, "the quota does not hold here"
assert found == allowed > 1, "the behaviour has changed, or there is one CPU alone"
PYTHON
"$folder/venv/bin/python" "$folder/look.py" "$group"
echo "joblib 1.6.0: the quota of the process's own group is not seen"
