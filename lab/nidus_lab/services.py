"""Starts the real servers that a plan asks for, each in its host's namespace."""
import os
import subprocess
import time

from . import sandbox, words
from .web_app import PASSWORD

CONF = sandbox.WORK + "/conf"
SITE = sandbox.WORK + "/site"
KEY = sandbox.WORK + "/user_key"


class Services:
    """What runs, and what its clients must know: users, passwords, names, pages."""

    def __init__(self, plan, programs, rng, lifetime):
        self._plan, self._programs, self._rng, self._lifetime = plan, programs, rng, lifetime
        self.users = {}        # name -> password
        self.names = {}        # name -> host name
        self.pages = []        # (path, bytes)
        self.web_password = PASSWORD
        self.redis_password = words.password(rng)
        self.basic_user = ("editor", words.password(rng))
        self.amplified = f"big.{plan.domain}"
        self.tunnel_domain = f"t.{words.word(rng)}.{plan.domain}"

    def start(self):
        self._make_users()
        self._make_site()
        self._make_names()
        sandbox.write("/etc/resolv.conf", f"nameserver {self._plan.offering('dns')[0].v4}\noptions timeout:2 attempts:2\n")
        sandbox.write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
        for host in self._plan.hosts:
            for service in host.services:
                start = getattr(self, f"_start_{service}", None)
                if start:
                    start(host, host.services[service])
        return self._wait()

    def web_names(self, host):
        return [name for name, owner in self.names.items() if owner == host.name]

    # -- what they serve -------------------------------------------------------

    def _make_users(self):
        subprocess.run(["ssh-keygen", "-q", "-t", self._rng.choice(("ed25519", "rsa")), "-N", "", "-f", KEY],
                       check=True,
                       timeout=30)
        for _ in range(self._rng.randint(2, 4)):
            name, secret = words.word(self._rng), words.password(self._rng)
            if name in self.users:
                continue
            home = sandbox.add_user(name, secret)
            self.users[name] = secret
            sandbox.write(f"{home}/.ssh/authorized_keys", open(KEY + ".pub", encoding="ascii").read(), 0o600)
            for n in range(4):
                sandbox.write(f"{home}/file{n}.bin", os.urandom(self._size(500, 3_000_000)))
            subprocess.run(["chown", "-R", f"{name}:", home], check=True, timeout=10)

    def _make_site(self):
        rng = self._rng
        for _ in range(rng.randint(25, 50)):
            kind = rng.choice(("html", "html", "css", "js", "png", "jpg"))
            length = self._size(200, {"html": 80_000, "css": 30_000, "js": 200_000}.get(kind, 400_000))
            path = f"/{rng.choice(('', 'news/', 'img/', 'doc/'))}{words.word(rng)}.{kind}"
            text = words.page(rng, length) if kind in ("html", "css", "js") else rng.randbytes(length)
            sandbox.write(SITE + path, text)
            self.pages.append((path, length))
        for name in ("disk.iso", "video.mp4"):
            length = self._size(1_000_000, 12_000_000)
            sandbox.write(f"{SITE}/big/{name}", os.urandom(length))
            self.pages.append((f"/big/{name}", length))
        sandbox.write(f"{SITE}/index.html", words.page(rng, 3000))
        sandbox.write(f"{SITE}/members/index.html", words.page(rng, 5000))
        kind = rng.choice((["-newkey", "rsa:2048"], ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]))
        subprocess.run(["openssl", "req", "-x509", "-nodes", *kind, "-days", "30", "-subj",
                        f"/CN=*.{self._plan.domain}",
                        "-keyout", f"{sandbox.WORK}/tls.key", "-out", f"{sandbox.WORK}/tls.crt"],
                       check=True, capture_output=True, timeout=60)
        secret = subprocess.run(["openssl", "passwd", "-apr1", self.basic_user[1]], check=True, capture_output=True,
                                text=True, timeout=10).stdout
        sandbox.write(f"{sandbox.WORK}/htpasswd", f"{self.basic_user[0]}:{secret}")

    def _size(self, low, high):
        return max(1, int(words.size(self._rng, low, high) * self._plan.bulk))

    def _make_names(self):
        for host in self._plan.offering("web"):
            for _ in range(self._rng.randint(2, 5)):
                self.names[f"{self._rng.choice(('www', 'shop', 'cdn', 'app', 'wiki'))}.{words.word(self._rng)}."
                           f"{self._plan.domain}"] = host.name
        for host in self._plan.hosts:
            self.names[f"{host.name}.{self._plan.domain}"] = host.name

    # -- the servers -----------------------------------------------------------

    def _start_web(self, host, port):
        socket = f"{sandbox.WORK}/app-{host.name}.sock"
        self._programs.start(host.name, sandbox.module("web_app", socket, self._lifetime))
        both = lambda p, extra: f"listen {p}{extra}; listen [::]:{p}{extra};"
        http2 = self._rng.choice((" ssl", " ssl http2"))
        text = f"""
pid {CONF}/nginx-{host.name}.pid; error_log /dev/null; user www-data; worker_processes 1; daemon off;
events {{ worker_connections {self._rng.choice((64, 256, 512))}; }}
http {{
  access_log off; types {{ text/html html; text/css css; image/png png; }} default_type application/octet-stream;
  client_body_temp_path {CONF}/body-{host.name}; proxy_temp_path {CONF}/proxy-{host.name};
  fastcgi_temp_path {CONF}/f-{host.name}; uwsgi_temp_path {CONF}/u-{host.name}; scgi_temp_path {CONF}/s-{host.name};
  client_max_body_size 64m;
  keepalive_timeout {self._rng.choice((5, 15, 65))}s; gzip {self._rng.choice(('on', 'off'))};
  server {{
    {both(port, '')} {both(host.services['tls'], http2)}
    ssl_certificate {sandbox.WORK}/tls.crt; ssl_certificate_key {sandbox.WORK}/tls.key;
    root {SITE};
    location /app/ {{ proxy_pass http://unix:{socket}; proxy_request_buffering off; }}
    location /moved {{ return 302 /index.html; }}
    location /members/ {{ auth_basic "members"; auth_basic_user_file {sandbox.WORK}/htpasswd; }}
  }}
}}"""
        self._programs.start(host.name, ["nginx", "-c", sandbox.write(f"{CONF}/nginx-{host.name}.conf", text),
                                         "-e", "/dev/null"])

    def _start_dns(self, host, port):
        hosts = "".join(f"{self._plan.host(owner).v4} {name}\n{self._plan.host(owner).v6} {name}\n"
                        for name, owner in self.names.items())
        path = sandbox.write(f"{CONF}/names", hosts)
        texts = [f"--txt-record={self.amplified}," + ",".join(words.host_label(self._rng, 200) for _ in range(12))]
        texts += [f"--txt-record=txt{n}.{self._plan.domain},v=spf1 {words.sentence(self._rng, 12)}"
                  for n in range(4)]
        self._programs.start(host.name, [
            "dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", f"--addn-hosts={path}",
                                         f"--port={port}",
            f"--local=/{self._plan.domain}/", f"--mx-host={self._plan.domain},{host.name}.{self._plan.domain},10",
                                         "--user=root",
            "--conf-file=/dev/null", f"--pid-file={CONF}/dns-{host.name}.pid", "--edns-packet-max=4096", *texts])

    def _start_ssh(self, host, port):
        key = f"{CONF}/ssh-{host.name}"
        sandbox.write(key + ".dir/x", "")
        subprocess.run(["ssh-keygen", "-q", "-t", self._rng.choice(("ed25519", "ecdsa")), "-N", "", "-f", key],
                       check=True, timeout=30)
        text = f"""
Port {port}
HostKey {key}
PidFile none
UsePAM no
UseDNS no
PermitRootLogin no
PasswordAuthentication yes
KbdInteractiveAuthentication no
MaxStartups 60:30:100
LoginGraceTime 20
MaxAuthTries {self._rng.choice((3, 6))}
Subsystem sftp internal-sftp
StrictModes no
PrintMotd no
"""
        self._programs.start(host.name, ["/usr/sbin/sshd", "-D", "-e", "-f", sandbox.write(f"{key}.conf", text)])

    def _start_ftp(self, host, port):
        text = f"""listen=NO
listen_ipv6=YES
background=NO
listen_port={port}
anonymous_enable=NO
local_enable=YES
write_enable=YES
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
xferlog_enable=NO
use_localtime=NO
secure_chroot_dir={CONF}/empty
max_login_fails={self._rng.choice((1, 3, 5))}
delay_failed_login={self._rng.choice((0, 1))}
connect_from_port_20=NO
pam_service_name=vsftpd
"""
        os.makedirs(f"{CONF}/empty", exist_ok=True)
        self._programs.start(host.name, ["vsftpd", sandbox.write(f"{CONF}/ftp-{host.name}.conf", text)])

    def _start_smtp(self, host, port):
        os.makedirs("/var/spool/smtpd", exist_ok=True)
        os.chmod("/var/spool/smtpd", 0o711)
        text = f"""
listen on 0.0.0.0 port {port}
listen on :: port {port}
action "box" maildir "{sandbox.WORK}/mail/%{{user.username}}"
match from any for any action "box"
"""
        os.makedirs(sandbox.WORK + "/mail", mode=0o1777, exist_ok=True)
        os.chmod(sandbox.WORK + "/mail", 0o1777)
        sandbox.write("/etc/mailname", f"{host.name}.{self._plan.domain}\n")
        self._programs.start(host.name, ["smtpd", "-d", "-f", sandbox.write(f"{CONF}/smtpd.conf", text)])

    def _start_redis(self, host, port):
        self._programs.start(host.name, ["redis-server", "--port", port, "--bind", "0.0.0.0", "::",
                                         "--requirepass", self.redis_password,
                                         "--save", "", "--appendonly", "no", "--dir", CONF, "--daemonize", "no"])

    def _start_mqtt(self, host, port):
        path = sandbox.write(f"{CONF}/mqtt.conf", f"listener {port}\nallow_anonymous true\npersistence false\n")
        self._programs.start(host.name, ["mosquitto", "-c", path])

    def _start_ntp(self, host, port):
        path = sandbox.write(f"{CONF}/ntp.conf",
                             f"local stratum 8\nallow all\ncmdport 0\nport {port}\nbindcmdaddress /\n"
                             f"pidfile {CONF}/ntp.pid\n")
        self._programs.start(host.name, ["chronyd", "-d", "-x", "-u", "root", "-f", path])

    def _start_bulk(self, host, port):
        self._programs.start(host.name, ["iperf3", "-s", "-p", port])

    def _start_voice(self, host, port):
        self._tiny(host, "echo", port)

    def _start_reflector(self, host, port):
        self._tiny(host, "reflector", port)

    def _tiny(self, host, what, port):
        self._programs.start(host.name, sandbox.module("tiny", what, port, self._lifetime))

    # -- are they there? -------------------------------------------------------

    def _wait(self, patience=8):
        """The (host, service) pairs that answer nobody after `patience` seconds."""
        wanted = {(h.name, s, p) for h in self._plan.hosts for s, p in h.services.items()}
        deadline = time.monotonic() + patience
        while wanted and time.monotonic() < deadline:
            for host in {name for name, _, _ in wanted}:
                listening = subprocess.run(["nsenter", f"--net=/run/netns/{host}", "--", "ss", "-Hltun"],
                                           capture_output=True,
                                           text=True, timeout=10, check=False).stdout
                ports = {line.split()[4].rsplit(":", 1)[1] for line in listening.splitlines()
                         if len(line.split()) > 4}
                wanted -= {(h, s, p) for h, s, p in wanted if h == host and str(p) in ports}
            time.sleep(0.2)
        return sorted((h, s) for h, s, _ in wanted)
