#!/bin/bash
# Several hosts on one machine: network namespaces, joined by a bridge. A command sees what it would see on a cluster:
# each host has a name, an address, a network card and a /dev/shm of its own; everything else they share. No root is
# needed where a user may make namespaces. The command runs on host1, and both MPIs' mpirun start one rank on each
# host.
#
#   tests/hosts.sh 4 mpirun -n 4 build/cpu-mpi-native/mnist
#   SLOTS=2 tests/hosts.sh 2 mpirun -n 4 COMMAND       two ranks a host
#   RATE=200mbit tests/hosts.sh 2 COMMAND              each card sends, and receives, no faster than that
#   tests/hosts.sh 2 bash -c 'ip -n host2 link set eth0 down; /run/on host2 hostname'
#
# $HOSTS is host1,host2,..; /run/on HOST COMMAND starts a command on one of them, as ssh would. Whatever happens,
# Ctrl-C and SIGKILL among it, the end of this script is the end of all of it. Where something is missing: a line that
# says what, and exit status 77, as for any skipped test.
set -euo pipefail

skip() { echo "tests/hosts.sh: skipped: $*" >&2; exit 77; }

# need WHAT COMMAND...: a part without which there are no hosts.
need() {
  local what=$1 says
  shift
  says=$("$@" 2>&1) || skip "$what${says:+: ${says//$'\n'/; }}"
}

# First, in the caller's namespaces.
if [ -z "${HOSTS_STAGE-}" ]; then
  [[ ${1-} =~ ^[1-9][0-9]?$ && $# -ge 2 ]] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; }
  PATH=$PATH:/usr/sbin:/sbin
  for program in unshare setpriv ip tc mount; do
    command -v "$program" > /dev/null || skip "there is no $program (packages util-linux, iproute2, mount)"
  done
  as_root=(--user --map-root-user)
  if [ "$(id -u)" = 0 ] && ! unshare "${as_root[@]}" true 2> /dev/null; then as_root=(); fi
  need 'namespaces are not allowed here' unshare "${as_root[@]}" --net --mount --uts --ipc --pid --fork true
  HOSTS_STAGE=parent exec unshare "${as_root[@]}" --net --mount --uts --ipc --pid "$0" "$@"
fi

# Then, inside of all but the namespace of processes, whose first process is the first child. All others end with it,
# and it ends with this one. (`unshare --fork` would hold back the signals that are meant to end it.)
if [ "$HOSTS_STAGE" = parent ]; then
  export HOSTS_STAGE=init
  setpriv --pdeathsig KILL env --default-signal=INT,QUIT "$0" "$@" <&0 &
  init=$!
  trap 'kill -KILL $init; exit 130' INT
  trap 'kill -KILL $init; exit 143' TERM HUP
  code=0
  wait $init || code=$?
  exit $code
fi

# Last, the first process: makes the hosts, and waits for the command.
unset HOSTS_STAGE
count=$1
shift
need 'no mounts' mount -t proc proc /proc
need 'no mounts' mount -t tmpfs tmpfs /run
mkdir /run/own
ip link set lo up
need 'no bridge between the hosts' ip link add bridge type bridge
ip link set bridge up

limit() { need "RATE=$RATE is not possible" tc "$@" root tbf rate "$RATE" burst 64k latency 200ms; }

HOSTS=
echo '127.0.0.1 localhost' > /run/hosts
for i in $(seq "$count"); do
  host=host$i
  need 'no network of its own for a host' ip netns add "$host"
  need 'no cable to a host' ip link add "cable$i" type veth peer name eth0 netns "$host"
  ip link set "cable$i" master bridge up
  ip -n "$host" addr add "10.0.0.$i/24" dev eth0
  ip -n "$host" link set eth0 addrgenmode none up  # the cards are silent unless a program sends
  ip -n "$host" link set lo up
  if [ -n "${RATE-}" ]; then
    limit -n "$host" qdisc add dev eth0
    limit qdisc add dev "cable$i"
  fi
  echo "10.0.0.$i $host" >> /run/hosts
  echo "$host slots=${SLOTS:-1}" >> /run/openmpi
  echo "$host:${SLOTS:-1}" >> /run/mpich
  HOSTS=$HOSTS,$host
done
export HOSTS=${HOSTS#,}
mount --bind /run/hosts /etc/hosts

# on HOST COMMAND...: what an MPI calls with the arguments of ssh; the words of the command are for a shell, as ssh's
# are.
cat > /run/on <<'EOF'
#!/bin/bash
while [[ $1 == -* ]]; do shift; done
host=$1
shift
exec ip netns exec "$host" unshare --mount --uts --ipc bash -c \
  "hostname $host; mount -t tmpfs tmpfs /dev/shm; mount -t tmpfs tmpfs /run/own; $*"
EOF
chmod +x /run/on

# Open MPI: which hosts, how to start there, over which cards; and a host that does not answer is gone after seconds.
export OMPI_MCA_orte_default_hostfile=/run/openmpi OMPI_MCA_plm=rsh OMPI_MCA_plm_rsh_agent=/run/on
export OMPI_MCA_orte_tmpdir_base=/run/own OMPI_MCA_btl_vader_single_copy_mechanism=none
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp
export OMPI_MCA_btl_tcp_if_include=10.0.0.0/24 OMPI_MCA_oob_tcp_if_include=10.0.0.0/24
export OMPI_MCA_oob_tcp_keepalive_time=3 OMPI_MCA_oob_tcp_keepalive_intvl=2 OMPI_MCA_oob_tcp_keepalive_probes=2
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# MPICH
export HYDRA_HOST_FILE=/run/mpich HYDRA_LAUNCHER=ssh HYDRA_LAUNCHER_EXEC=/run/on

code=0
/run/on host1 "$(printf '%q ' exec "$@")" || code=$?
exit $code
