package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// A usageError is a mistake in the settings. Its text says what to change.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// command is the command line. The settings stand before the commands, so that `gateway --help` shows all of them and
// healthcheck finds the address that serve listens on. Each has an environment twin: --base-path is KVGW_BASE_PATH.
type command struct {
	config

	Serve       struct{} `cmd:"" default:"1" help:"Serve HTTP (the default)."`
	Healthcheck struct {
		URL string `placeholder:"URL" help:"Ask this address instead of /readyz at --listen and --base-path."`
	} `cmd:"" help:"Ask a running gateway whether it is ready: exit status 0 or 1."`
	Version struct{} `cmd:"" help:"Print the versions of the gateway, Go and the built-in nats-server."`
}

type config struct {
	Listen               string        `group:"http" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address of the HTTP API (default ${default}). Port 0 takes a free one. Any but loopback needs --allow-anonymous."`
	AllowAnonymous       bool          `group:"http" help:"Let everybody who reaches the addresses read and write. There is no authentication yet."`
	AllowedHost          []string      `group:"http" placeholder:"HOST" help:"Answer to this host name too, without port. Repeatable. On loopback, and once a name is given, requests for others than localhost are refused."`
	AllowOrigin          []string      `group:"http" placeholder:"ORIGIN" help:"Let pages of this origin, such as https://app.example.com, use the API. Repeatable."`
	BasePath             string        `group:"http" placeholder:"/PATH" help:"Serve everything below this path."`
	RequirePreconditions bool          `group:"http" help:"Refuse to write or delete a key without If-Match or If-None-Match."`
	RequestTimeout       time.Duration `group:"http" default:"5s" placeholder:"DURATION" help:"Longest wait for NATS in one request (default ${default})."`
	StreamMaxAge         time.Duration `group:"http" default:"1h" placeholder:"DURATION" help:"After what time a watch stream ends and its client reconnects (default ${default}); up to half of it is added at random."`
	StreamLoops          int           `group:"http" default:"-1" placeholder:"COUNT" help:"How many loops write the streams of plain HTTP/1.1, on connections taken over from the HTTP server (Linux; by default one for each processor). With 0 each stream has a goroutine, as those over HTTP/2 have."`
	MaxStreams           int           `group:"http" default:"20000" placeholder:"COUNT" help:"How many watch streams and long polls may be open at once (default ${default}), of one address three quarters. Others are refused, with the advice to come again."`
	MemoryForAnswers     byteSize      `group:"http" default:"96MiB" placeholder:"SIZE" help:"How much memory answers and streams may take together while their clients have yet to take them (default ${default}). Beyond it the clients that take nothing are cut, and then requests are refused."`
	TransactionRate      int           `group:"http" default:"20" placeholder:"NUMBER" help:"How many transactions of each bucket may begin in a second (default ${default}; 0: no bound). On file storage each one syncs a file of its own while the bucket's other writers wait."`
	AdminListen          string        `group:"http" placeholder:"HOST:PORT" help:"Address of /metrics and /debug/pprof/. Off unless given."`

	DataDir        string   `group:"embedded" default:"./kvgw-data" placeholder:"DIR" help:"Where the data is kept (default ${default})."`
	Sync           syncMode `group:"embedded" default:"always" placeholder:"WHEN" help:"When data is synced to disk: always, before a write is acknowledged (the default), or at an interval such as 100ms, which is much faster and risks that much at a power cut."`
	AcceptLoss     bool     `group:"embedded" help:"Start although the store has lost data for certain, as after a disk failure. What is damaged is copied before. Give it once, after you have looked for a backup."`
	EmbeddedListen string   `group:"embedded" placeholder:"HOST:PORT" help:"Let native NATS clients in here, for example 127.0.0.1:4222. Off unless given."`

	NatsURL      string `name:"nats-url" group:"nats" placeholder:"URL" help:"Use this NATS instead of the embedded one. Several servers of a cluster are separated by commas."`
	NatsCreds    string `group:"nats" placeholder:"FILE" help:"Credentials file: user JWT and seed."`
	NatsUser     string `group:"nats" placeholder:"NAME" help:"User name."`
	NatsPassword string `group:"nats" placeholder:"PASSWORD" help:"Password. Better given by the environment: a command line is visible to others."`
	NatsToken    string `group:"nats" placeholder:"TOKEN" help:"Token. Better given by the environment."`
	NatsNkey     string `group:"nats" placeholder:"FILE" help:"File with an NKey seed."`
	NatsTLSCA    string `name:"nats-tls-ca" group:"nats" placeholder:"FILE" help:"PEM certificates of the authorities to trust."`
	NatsTLSCert  string `name:"nats-tls-cert" group:"nats" placeholder:"FILE" help:"PEM client certificate."`
	NatsTLSKey   string `name:"nats-tls-key" group:"nats" placeholder:"FILE" help:"PEM key of the client certificate."`
	JSDomain     string `name:"js-domain" group:"nats" placeholder:"NAME" help:"JetStream domain."`
	JSAPIPrefix  string `name:"js-api-prefix" group:"nats" placeholder:"SUBJECT" help:"Subject prefix of JetStream's API where it is imported under another name than $$JS.API."`
	InboxPrefix  string `group:"nats" placeholder:"SUBJECT" help:"Subject prefix for answers, where the user may not subscribe to _INBOX."`
	NatsName     string `group:"nats" default:"kvgw" placeholder:"NAME" help:"Name of the connections, as NATS' monitoring shows it (default ${default})."`

	LogFormat       string        `group:"process" default:"auto" enum:"auto,json,console" placeholder:"FORMAT" help:"json, console, or auto (default): console on a terminal, else json."`
	LogLevel        string        `group:"process" default:"info" enum:"trace,debug,info,warn,error" placeholder:"LEVEL" help:"trace, debug, info (default), warn or error."`
	DrainDelay      time.Duration `group:"process" default:"0s" placeholder:"DURATION" help:"How long to go on serving after SIGTERM, with /readyz saying no, so that load balancers notice (default ${default})."`
	ShutdownTimeout time.Duration `group:"process" default:"10s" placeholder:"DURATION" help:"How long requests may take to finish after that (default ${default}). The process ends at most 10s later."`
}

var helpGroups = []kong.Group{
	{Key: "http", Title: "HTTP:"},
	{Key: "embedded", Title: "Embedded NATS, the default:"},
	{Key: "nats", Title: "Your NATS, instead of the embedded one:"},
	{Key: "process", Title: "Log and shutdown:"},
}

const (
	envPrefix   = "KVGW"
	description = "NATS Key/Value over HTTP. Started without settings it keeps its data in ./kvgw-data and listens on 127.0.0.1:8080."
)

// errHelpShown ends a run that only had to print the help.
var errHelpShown = errors.New("help shown")

// parse reads command line and environment. It returns the name of the command, a *usageError, or errHelpShown.
func parse(args []string, stdout io.Writer) (*command, string, error) {
	var c command
	helpShown := false
	parser, err := kong.New(&c,
		kong.Name("gateway"),
		kong.Description(description),
		kong.ExplicitGroups(helpGroups),
		kong.DefaultEnvars(envPrefix),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 120}),
		kong.Writers(stdout, stdout),
		kong.Exit(func(int) { helpShown = true }), // kong would end the process after --help
	)
	if err != nil {
		return nil, "", fmt.Errorf("command line definition: %w", err)
	}
	parsed, err := parser.Parse(args)
	if helpShown {
		return nil, "", errHelpShown
	}
	if err != nil {
		return nil, "", &usageError{err.Error() + "\nSee gateway --help."}
	}
	return &c, parsed.Command(), checkUse(&c.config, parsed)
}

// checkUse refuses settings that contradict each other. It tells about all of them at once.
func checkUse(c *config, parsed *kong.Context) error {
	if parsed.Command() != "serve" {
		return nil
	}
	problems := c.problems(func(flag string) bool { return given(parsed, flag) })
	if len(problems) == 0 {
		return nil
	}
	return &usageError{strings.Join(problems, "\ngateway: ") + "\nSee gateway --help."}
}

// given says whether a setting comes from the command line or the environment, and not from its default.
func given(parsed *kong.Context, flag string) bool {
	for _, path := range parsed.Path {
		if path.Flag != nil && path.Flag.Name == flag {
			return true
		}
	}
	return os.Getenv(envPrefix+"_"+strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))) != ""
}

// syncMode is always, or an interval.
type syncMode struct {
	always   bool
	interval time.Duration
}

// UnmarshalText is called by kong.
func (m *syncMode) UnmarshalText(text []byte) error {
	if string(text) == "always" {
		*m = syncMode{always: true}
		return nil
	}
	interval, err := time.ParseDuration(string(text))
	if err != nil || interval < time.Millisecond {
		return fmt.Errorf("%q is neither always nor an interval of at least 1ms, such as 100ms", text)
	}
	*m = syncMode{interval: interval}
	return nil
}
