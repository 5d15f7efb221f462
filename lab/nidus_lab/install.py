"""Installs Debian's packages for the lab, and lets none of their daemons start."""
import contextlib
import os
import subprocess

PACKAGES = """
apache2-utils bind9-dnsutils chrony curl dirb dnsmasq-base ethtool gobuster hping3 hydra iodine iperf3 iproute2
iputils-ping medusa mosquitto mosquitto-clients ncat ncrack nftables nginx-light nmap openssh-client openssh-server
openssl opensmtpd procps python3 redis-server redis-tools siege slowhttptest sqlmap sshpass swaks tcpdump util-linux
vsftpd wrk""".split()

POLICY = "/usr/sbin/policy-rc.d"


@contextlib.contextmanager
def no_daemons():
    """Debian asks this script before a package starts its daemon; what was there comes back afterwards."""
    before = None
    if os.path.exists(POLICY):
        with open(POLICY, "rb") as file:
            before = file.read(), os.stat(POLICY).st_mode
    with open(POLICY, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nexit 101\n")
    os.chmod(POLICY, 0o755)
    try:
        yield
    finally:
        if before is None:
            os.unlink(POLICY)
        else:
            with open(POLICY, "wb") as file:
                file.write(before[0])
            os.chmod(POLICY, before[1])


def install():
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with no_daemons():
        subprocess.run(["apt-get", "update"], env=environment, check=True)
        return subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES], env=environment,
                              check=False).returncode
