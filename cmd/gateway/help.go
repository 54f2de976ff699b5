package main

import (
	"fmt"

	"github.com/alecthomas/kong"
)

// description is what the program does, for the head of its help.
const description = "NATS Key/Value over HTTP. Started without settings it keeps its data in " +
	"./kvgw-data and listens on 127.0.0.1:8080."

// helpGroups are the titles of the groups of settings, in the order in which the help shows them.
var helpGroups = []kong.Group{
	{Key: "http", Title: "HTTP:"},
	{Key: "transport", Title: "TLS and connections:"},
	{Key: "access", Title: "Callers:"},
	{Key: "embedded", Title: "Embedded NATS, the default:"},
	{Key: "nats", Title: "Your NATS, instead of the embedded one:"},
	{Key: "process", Title: "Log and shutdown:"},
}

// helpTexts says what each setting does, by the name of its flag.
var helpTexts = map[string]string{
	"version": "Print the versions, as the command version does.",

	"listen": "Address of the HTTP API (default ${default}). Port 0 takes a free port. An " +
		"address that other machines can reach needs --auth-file. unix:/run/kvgw.sock is a " +
		"Unix socket.",
	"listen-mode": "Mode of the file of a Unix socket (default ${default}), which says who may " +
		"connect: its user and its group, by default.",
	"auth-file": "YAML file that says who may call and what they may do. It is read again when " +
		"it changes. gateway auth check finds mistakes in it.",
	"allow-anonymous": "Let anyone who can reach the addresses read and write, without an " +
		"--auth-file. Beside one, this is about --embedded-listen and --embedded-ws-listen only.",
	"allowed-host": "Answer requests for this host name too, given without a port. Can be given " +
		"several times. If the gateway listens on loopback, or if a name is given, requests for " +
		"host names other than these and localhost are refused. Those without a credential " +
		"always are, with an --auth-file.",
	"allow-origin": "Let web pages of this origin, such as https://app.example.com, use the API " +
		"and --embedded-ws-listen. Can be given several times.",
	"base-path": "Serve everything below this path.",
	"console": "What the web console at /console/ offers: write, read, which hides what changes " +
		"something and protects nothing, or off (default ${default}). It holds no data, and its " +
		"users may do there what they may do elsewhere.",
	"require-preconditions": "Refuse to write or delete a key without If-Match or If-None-Match.",
	"request-timeout":       "How long a request waits for NATS at most (default ${default}).",
	"stream-max-age": "How long a watch stream lives before it ends and its client reconnects " +
		"(default ${default}). Up to half of this is added at random.",
	"stream-loops": "How many loops write the streams of plain HTTP/1.1, on connections that " +
		"they take over from the HTTP server. Linux only; the default is one loop for each " +
		"processor. With 0 each of these streams has a goroutine of its own, as each stream over " +
		"HTTP/2 has.",
	"max-streams": "How many watch streams and long polls may be open at once (default " +
		"${default}). One address may have three quarters of them. Further ones are refused and " +
		"told to try again later.",
	"streams-per-caller": "How many of them each caller may have, or each address of those " +
		"without a credential (default ${default}), and three quarters at most.",
	"rate": "How many requests each caller, or each address of those without a credential, may " +
		"send in a second; 0 means any number. The default is 25000 for each processor, which " +
		"is three quarters of what the machine could answer.",
	"memory-for-answers": "How much memory answers and streams may take in all while their " +
		"clients have not read them (default ${default}). If more is needed, clients that read " +
		"nothing are cut off, and after that requests are refused.",
	"memory": "How much memory copies of watched buckets may take in all (default ${default}), " +
		"from which reads are answered; 0 means none. A copy that nobody has read for a minute " +
		"gives way to another.",
	"memory-buckets": "Buckets of which there is a copy in memory also while nobody watches " +
		"them: names, or beginnings of names that end in *.",
	"transaction-rate": "How many transactions may begin per second in each bucket (default " +
		"${default}; 0 means any number). On file storage each transaction syncs a file of its " +
		"own while the other writers of the bucket wait.",
	"admin-listen": "Address of /metrics, /bounds and /debug/pprof/. There is no such listener " +
		"unless an address is given. A Unix socket, such as unix:/run/kvgw-admin.sock, is for " +
		"the user of the gateway only. With --auth-file, an address that other machines can " +
		"reach answers only callers who may admin every bucket.",

	"tls-cert": "PEM file with the certificate of all addresses on which the gateway listens, " +
		"and those that lead to its authority. It is read again when it changes, and on SIGHUP.",
	"tls-key": "PEM file with the key of that certificate.",
	"tls-client-ca": "PEM file with the authorities of client certificates. A client may present " +
		"one; those that it does not trust any more after a change lose their connections.",
	"tls-require-client-cert": "Refuse clients without a certificate, on all addresses.",
	"trusted-proxy": "Take the address of a client, and the scheme of its request, from a header " +
		"if the request comes from this proxy: an address or a range such as 10.0.0.0/8, or " +
		"unix for all who connect to a Unix socket. Can be given several times. The proxy must " +
		"set --proxy-header.",
	"proxy-header": "The header that these proxies set: x-forwarded-for (the default, with " +
		"X-Forwarded-Proto) or forwarded (RFC 7239). The other one is not read.",
	"http2-streams": "How many requests and watches one HTTP/2 connection may have open at once " +
		"(default ${default}).",

	"public-url": "The address that clients use, such as https://kv.example.com, where it is not " +
		"the gateway's own. Requests for its host are answered, its pages may change something, " +
		"and metadata for clients with OAuth name it.",
	"ticket-key": "File with keys that sign the tickets of browsers, each on a line, as openssl " +
		"rand -base64 32 makes them. The first signs, and all of them check. Gateways with the " +
		"same keys take each other's tickets, and know the retries of callers with NATS " +
		"credentials. Without it each process has a random key.",
	"audit-log": "Write a line of JSON for each change that is asked for, done or refused, to " +
		"this file, or to the standard output for -. SIGHUP opens the file anew. If lines cannot " +
		"be written, changes are refused.",

	"data-dir": "Directory of the data (default ${default}).",
	"sync": "When data is synced to the disk: always, which is before a write is acknowledged " +
		"(the default), or at an interval such as 100ms, which is much faster but can lose the " +
		"writes of that time in a power cut.",
	"accept-loss": "Start even if the store has certainly lost data, for example after a disk " +
		"failure. The damaged files are copied first. Look for a backup before, and give this " +
		"flag only once.",
	"embedded-listen": "Address at which native NATS clients can connect, for example " +
		"127.0.0.1:4222. There is no such listener unless an address is given.",
	"embedded-ws-listen": "Address at which native NATS clients in web pages can connect over " +
		"WebSocket without TLS, for example 127.0.0.1:9222. Only pages of the origins of " +
		"--allow-origin may. There is no such listener unless an address is given.",
	"slow-writes-above": "While the process has so much more memory in use than at its start " +
		"(default ${default}), beside the buckets whose storage is memory, writes to the " +
		"embedded NATS are slowed to 5 MiB a second, since it keeps in memory what was written " +
		"and is read. Raise it for many streams or large feeds.",
	"memory-for-buckets": "How much the buckets whose storage is memory may hold in all (default " +
		"${default}). Writes beyond it are refused.",

	"nats-url": "Use this NATS instead of the embedded one. Separate several servers of a " +
		"cluster by commas.",
	"nats-creds": "Credentials file with a user JWT and a seed.",
	"nats-user":  "User name.",
	"nats-password": "Password. Set it in the environment rather than here: other users of the " +
		"machine can see command lines.",
	"nats-token":    "Token. Set it in the environment rather than here.",
	"nats-nkey":     "File with an NKey seed.",
	"nats-tls-ca":   "PEM file with the certificates of the authorities to trust.",
	"nats-tls-cert": "PEM file with the client certificate.",
	"nats-tls-key":  "PEM file with the key of the client certificate.",
	"js-domain":     "JetStream domain.",
	"js-api-prefix": "Subject prefix of the JetStream API, if it is imported under a name other " +
		"than $$JS.API.",
	"inbox-prefix": "Subject prefix for answers, if the user may not subscribe to _INBOX.",
	"nats-name":    "Name of the connections in the monitoring of NATS (default ${default}).",

	"log-format": "json, console, or auto (the default), which is console on a terminal and json " +
		"otherwise.",
	"log-level": "trace, debug, info (the default), warn or error.",
	"log-keys": "Name the bucket and the key of each request in its line of the log. They are " +
		"left out by default, since keys can hold names of people.",
	"drain-delay": "How long to go on serving after SIGTERM while /readyz answers 503, so that " +
		"load balancers can notice (default ${default}).",
	"shutdown-timeout": "How long requests may take to finish after that (default ${default}). " +
		"The process ends at most 10 seconds later.",
}

// setHelp gives each setting its help text. kong calls it before it replaces ${default} and $$ in
// the texts.
func setHelp(k *kong.Kong) error {
	for _, flag := range k.Model.Flags {
		text, found := helpTexts[flag.Name]
		if !found && flag != k.Model.HelpFlag {
			return fmt.Errorf("there is no help text for --%s", flag.Name)
		}
		if found {
			flag.Help = text
		}
	}
	return nil
}

// printHelp prints the help of a command. The settings are left out of that of commands which read
// none of them, where they would hide the few flags that there are.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if !readsSettings(ctx) {
		for _, flag := range ctx.Model.Flags {
			flag.Hidden = flag.Hidden || flag.Group != nil
		}
	}
	return kong.DefaultHelpPrinter(options, ctx)
}

// readsSettings reports whether the command whose help is asked for reads settings: serve and
// healthcheck do, and the help of the program has them as well.
func readsSettings(ctx *kong.Context) bool {
	command := ctx.Selected()
	return command == nil || command.Name == "serve" || command.Name == "healthcheck"
}
