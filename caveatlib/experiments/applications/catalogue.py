"""The applications: packages, what is set up beside them, the server, and its workload.

Each is what people install from Debian's packages, and each is asked in the way of its kind.
A workload runs in another container; it is given the server's address, ends with an error where
something was answered wrongly, and writes ``answered N`` for N answers. It does what a day of an
application has in it and a smoke test has not: reads and writes, several pages, dumps.
"""

from __future__ import annotations

from dataclasses import dataclass

CLIENTS = "clients"
"""The image of the programs that ask, where the application's own image has none."""
MARKS, MARKED = 5, 3
"""Files without use in each image, and how many of them its server's container opens at the end."""

_ASK = """
ask() { # ab's arguments, ending in a URL
    ab -q -l "$@" >/tmp/told 2>&1 || { cat /tmp/told; exit 1; }
    grep -q '^Failed requests: *0$' /tmp/told || { cat /tmp/told; exit 1; }
    if grep '^Non-2xx' /tmp/told; then exit 1; fi
    sed -n 's/^Complete requests: */answered /p' /tmp/told
}
"""
"""ab counts an answer with another status as a good one."""


@dataclass(frozen=True)
class Application:
    """One application in an image.

    Attributes
    ----------
    name : str
        Of the place; lower case, as it is in the image's name.
    title : str
        In sentences and figures.
    packages : tuple of str
        What is asked of apt.
    setup : str
        Script that is run in the image after that, as root.
    argv : tuple of str
        The server, in the foreground.
    port : int
        It has started when this accepts a connection.
    workload : str
        Script of what it is asked; ``$1`` is its address.
    clients : bool
        Whether the workload's programs are those of `CLIENTS`, else those of its own image.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    argv: tuple[str, ...]
    port: int
    workload: str
    setup: str = ""
    clients: bool = False


NGINX = Application(
    name="nginx",
    title="nginx",
    packages=("nginx",),
    setup="""
for n in $(seq 1 40); do
    { echo "<h1>Page $n</h1>"; seq 1 2000; } >/var/www/html/page$n.html
done
""",
    argv=("nginx", "-g", "daemon off;"),
    port=80,
    workload=f"""{_ASK}
for n in $(seq 1 40); do ask -n 50 -c 4 "http://$1/page$n.html"; done
ask -n 200 -c 4 -H 'Accept-Encoding: gzip' -k "http://$1/"
""",
    clients=True,
)
PHP = Application(
    name="php",
    title="Apache with PHP",
    packages=("apache2", "libapache2-mod-php", "php-sqlite3"),
    setup="""
cat >/var/www/html/notes.php <<'END'
<?php
session_start();
$db = new PDO('sqlite:/tmp/notes.sqlite');
$db->exec('create table if not exists notes (id integer primary key, text text)');
if (isset($_POST['text'])) {
    $db->prepare('insert into notes (text) values (?)')->execute([$_POST['text']]);
}
$rows = $db->query('select * from notes order by id desc limit 20')->fetchAll(PDO::FETCH_ASSOC);
header('Content-Type: application/json');
echo json_encode(['at' => date('c'), 'notes' => $rows, 'mac' => hash('sha256', serialize($rows))]);
END
""",
    argv=("apache2ctl", "-D", "FOREGROUND"),
    port=80,
    workload=f"""{_ASK}
printf 'text=hello+world' >/tmp/form
ask -n 20 -T application/x-www-form-urlencoded -p /tmp/form "http://$1/notes.php"
ask -n 300 -c 4 "http://$1/notes.php"
ask -n 300 -c 4 "http://$1/"
""",
    clients=True,
)
FLASK = Application(
    name="flask",
    title="Flask (Python)",
    packages=("gunicorn", "python3-flask"),
    setup="""
mkdir -p /srv/application/templates
cat >/srv/application/templates/notes.html <<'END'
<!doctype html><title>Notes</title>
{% for id, text in notes %}<p id="{{ id }}">{{ text }}</p>{% else %}<p>None.</p>{% endfor %}
END
cat >/srv/application/notes.py <<'END'
import sqlite3

import flask

app = flask.Flask(__name__)
app.secret_key = "not a secret"


def database():
    found = sqlite3.connect("/tmp/notes.sqlite")
    found.execute("create table if not exists notes (id integer primary key, text text)")
    return found


@app.get("/")
def page():
    with database() as db:
        rows = db.execute("select * from notes order by id desc limit 20").fetchall()
    return flask.render_template("notes.html", notes=rows)


@app.get("/notes")
def listed():
    flask.session["seen"] = True
    with database() as db:
        return flask.jsonify(db.execute("select * from notes limit 20").fetchall())


@app.post("/notes")
def add():
    with database() as db:
        db.execute("insert into notes (text) values (?)", (flask.request.form["text"],))
    return {"ok": True}
END
""",
    argv=("gunicorn", "--bind=0.0.0.0:80", "--workers=2", "--chdir=/srv/application", "notes:app"),
    port=80,
    workload=f"""{_ASK}
printf 'text=hello+world' >/tmp/form
ask -n 20 -T application/x-www-form-urlencoded -p /tmp/form "http://$1/notes"
ask -n 200 -c 4 "http://$1/"
ask -n 200 -c 4 "http://$1/notes"
""",
    clients=True,
)
EXPRESS = Application(
    name="express",
    title="Express (Node)",
    packages=("nodejs", "node-express"),
    setup="""
mkdir -p /srv/application/public
seq 1 2000 >/srv/application/public/numbers.txt
cat >/srv/application/notes.js <<'END'
const express = require('express')
const fs = require('fs')
const zlib = require('zlib')
const app = express()
const notes = []
app.use(express.static('/srv/application/public'))
app.use(express.urlencoded({ extended: false }))
app.get('/', (request, answer) => answer.json({ notes: notes.slice(-20) }))
app.post('/', (request, answer) => { notes.push(request.body.text); answer.json({ ok: true }) })
app.get('/packed', (request, answer) =>
  answer.send(zlib.gzipSync(fs.readFileSync('/srv/application/public/numbers.txt'))))
app.listen(80)
END
""",
    argv=("node", "/srv/application/notes.js"),
    port=80,
    workload=f"""{_ASK}
printf 'text=hello+world' >/tmp/form
ask -n 20 -T application/x-www-form-urlencoded -p /tmp/form "http://$1/"
ask -n 300 -c 4 "http://$1/"
ask -n 200 -c 4 "http://$1/numbers.txt"
ask -n 100 -c 4 "http://$1/packed"
""",
    clients=True,
)
TOMCAT = Application(
    name="tomcat",
    title="Tomcat (Java)",
    packages=("tomcat10", "tomcat10-examples"),
    # As they come, the examples answer nobody but their own host.
    setup="""
test -d /usr/share/tomcat10-examples/examples
cat >/etc/tomcat10/Catalina/localhost/examples.xml <<'END'
<Context docBase="/usr/share/tomcat10-examples/examples" />
END
""",
    argv=(
        "env",
        "CATALINA_HOME=/usr/share/tomcat10",
        "CATALINA_BASE=/var/lib/tomcat10",
        "CATALINA_TMPDIR=/tmp",
        "/usr/share/tomcat10/bin/catalina.sh",
        "run",
    ),
    port=8080,
    workload=f"""{_ASK}
at="http://$1:8080/examples"
ask -n 100 -c 4 "http://$1:8080/"
for path in servlets/servlet/HelloWorldExample servlets/servlet/RequestParamExample \\
    servlets/servlet/SessionExample jsp/dates/date.jsp jsp/jsp2/el/basic-arithmetic.jsp; do
    ask -n 50 -c 4 "$at/$path"
done
""",
    clients=True,
)
REDIS = Application(
    name="redis",
    title="Redis",
    packages=("redis-server",),
    argv=(
        *("redis-server", "/etc/redis/redis.conf", "--daemonize", "no", "--supervised", "no"),
        *("--bind", "0.0.0.0", "--protected-mode", "no"),
    ),
    port=6379,
    workload="""
redis-benchmark -h "$1" -q -n 2000 -c 20 >/tmp/told
tests=$(tr '\\r' '\\n' </tmp/told | grep -c 'requests per second')
[ "$tests" -ge 15 ]
echo "answered $((tests * 2000))"
redis-cli -h "$1" eval 'return redis.call("dbsize")' 0
redis-cli -h "$1" bgsave
n=0
while redis-cli -h "$1" info persistence | grep -q 'bgsave_in_progress:1'; do
    n=$((n + 1))
    [ "$n" -lt 100 ]
    sleep 0.1
done
redis-cli -h "$1" info persistence | grep 'rdb_last_bgsave_status:ok'
""",
)
POSTGRESQL = Application(
    name="postgresql",
    title="PostgreSQL",
    packages=("postgresql",),
    setup="""
cd /etc/postgresql/*/main
echo "listen_addresses = '*'" >conf.d/listen.conf
echo 'host all all 0.0.0.0/0 trust' >>pg_hba.conf
""",
    argv=(
        *("sh", "-c"),
        'cd /etc/postgresql; exec pg_ctlcluster --foreground "$(ls | head -n 1)" main start',
    ),
    port=5432,
    workload="""
bin=$(ls -d /usr/lib/postgresql/*/bin | head -n 1)
export PGHOST="$1" PGUSER=postgres PGDATABASE=postgres
"$bin/pgbench" -q -i -s 1 2>&1
for kind in tpcb-like simple-update select-only; do
    "$bin/pgbench" -b "$kind" -n -c 4 -t 200 >/tmp/told 2>&1 || { cat /tmp/told; exit 1; }
    sed -n 's|^number of transactions actually processed: \\([0-9]*\\)/.*|answered \\1|p' /tmp/told
done
"$bin/psql" -q -c 'create index on pgbench_accounts (abalance)' -c 'vacuum analyze'
"$bin/pg_dump" >/tmp/dump
grep -q 'COPY public.pgbench_accounts' /tmp/dump
echo 'answered 3'
""",
)
GIT = Application(
    name="git",
    title="Git server",
    packages=("git",),
    setup="""
git init -q --bare /srv/git/project.git
git clone -q /srv/git/project.git /tmp/project 2>&1
cd /tmp/project
git config user.email nobody@example.org
git config user.name Nobody
for n in $(seq 1 40); do
    seq 1 $((n * 50)) >file$((n % 10))
    git add .
    git commit -q -m "Change $n"
done
git push -q origin HEAD
rm -rf /tmp/project
""",
    argv=(
        *("git", "daemon", "--export-all", "--enable=receive-pack", "--reuseaddr"),
        *("--base-path=/srv/git", "/srv/git"),
    ),
    port=9418,
    workload="""
export HOME=/tmp
git config --global user.email nobody@example.org
git config --global user.name Nobody
for n in 1 2 3 4 5; do
    rm -rf /tmp/clone
    git clone -q "git://$1/project.git" /tmp/clone
    cd /tmp/clone
    git checkout -q -b "branch$n"
    seq 1 "$((n * 100))" >new
    git add new
    git commit -q -m "New $n"
    git push -q origin "branch$n" 2>/tmp/told
    git fetch -q --all
    git ls-remote -q origin >/tmp/refs
    grep -q "refs/heads/branch$n" /tmp/refs
    cd /
    echo 'answered 4'
done
""",
)
POSTFIX = Application(
    name="postfix",
    title="Postfix",
    packages=("postfix",),
    # No name is looked up by anybody: there is no server to ask, and each try would wait for it.
    setup="""
useradd --create-home reader
postconf -e 'mynetworks = 0.0.0.0/0' 'inet_protocols = ipv4' 'inet_interfaces = all' \\
    'myhostname = mail.example.org' 'mydestination = localhost' 'smtpd_peername_lookup = no' \\
    'smtp_host_lookup = native' 'smtp_dns_support_level = disabled' 'maillog_file = /dev/stdout'
""",
    argv=("postfix", "start-fg"),
    port=25,
    workload="""
timeout 120 smtp-source -M client.example.org -s 4 -m 200 -l 4000 \\
    -f sender@localhost -t reader@localhost "inet:$1:25"
echo 'answered 200'
sleep 3
""",
)
BIND = Application(
    name="bind",
    title="BIND (DNS)",
    packages=("bind9",),
    setup="""
install -d -o bind -g bind /run/named
{
    echo '$TTL 60'
    echo '@ IN SOA ns.example.org. root.example.org. 1 60 60 60 60'
    echo '@ IN NS ns.example.org.'
    echo 'ns IN A 192.0.2.1'
    for n in $(seq 1 200); do echo "host$n IN A 192.0.2.$((n % 250 + 1))"; done
} >/etc/bind/example.org
echo 'zone "example.org" { type primary; file "/etc/bind/example.org"; };' \\
    >>/etc/bind/named.conf.local
""",
    argv=("named", "-g", "-u", "bind"),
    port=53,
    workload="""
for n in $(seq 1 200); do echo "host$n.example.org A"; done >/tmp/queries
for n in $(seq 1 50); do echo "none$n.example.org A"; done >>/tmp/queries
dnsperf -s "$1" -d /tmp/queries -n 20 -c 4 >/tmp/told
grep -Eq 'Queries lost: +0 ' /tmp/told
sed -n 's/^ *Queries completed: *\\([0-9]*\\) .*/answered \\1/p' /tmp/told
""",
    clients=True,
)

ALL = (NGINX, PHP, FLASK, EXPRESS, TOMCAT, REDIS, POSTGRESQL, GIT, POSTFIX, BIND)
BY_NAME = {application.name: application for application in ALL}
TITLES = {application.name: application.title for application in ALL}
CLIENT_PACKAGES = ("apache2-utils", "dnsperf")
