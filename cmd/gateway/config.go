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

// Error returns the text.
func (e *usageError) Error() string { return e.text }

// command is the command line. The settings stand before the commands, so that "gateway --help"
// shows all of them, and so that healthcheck knows the address on which serve listens. Each setting
// can also be given in the environment: --base-path as KVGW_BASE_PATH.
type command struct {
	config

	// ShowVersion is the command version as a flag, which is where people look for it.
	ShowVersion bool `name:"version" short:"v" env:"-"`

	Serve       struct{} `cmd:"" default:"1" help:"Serve HTTP (the default)."`
	Healthcheck struct {
		URL string `placeholder:"URL" help:"${url_help}"`
	} `cmd:"" help:"Ask a running gateway whether it is ready: exit status 0 or 1."`
	Auth  authCommand `cmd:"" help:"Work with an auth file, which says who may do what."`
	Token struct {
		New tokenNew `cmd:"" help:"Make a token, and the entry of the auth file for it."`
	} `cmd:"" help:"Make tokens for callers."`
	Version struct{} `cmd:"" help:"${version_help}"`
	Help    struct {
		Command []string `arg:"" optional:"" help:"A command."`
	} `cmd:"" help:"Show this help, or that of a command, as --help does."`
}

// commandHelp has the help texts of the commands that are too long for a tag.
var commandHelp = kong.Vars{
	"url_help": "Ask this address instead of /readyz at --listen and --base-path.",
	"explain_help": "Say which rule of an auth file allows a request, or what is missing: exit " +
		"status 0 or 1. Nothing is sent anywhere.",
	"explain_token_help": "Token of the caller. Other users of the machine can see command " +
		"lines: use --token-file instead.",
	"explain_file_help": "File with the token or JWT of the caller; - is the standard input.",
	"explain_jwt_help":  "JWT of the caller.",
	"token_name_help":   "Name of the caller, for logs.",
	"token_role_help":   "Role of the auth file that the caller has. Can be given several times.",
	"token_expires_help": "When the token ends: a number of days such as 90d, a duration such as " +
		"12h, or a day such as 2030-01-31, at whose beginning in UTC it ends. Never, if it is " +
		"left out.",
	"version_help": "Print the versions of the gateway, Go and the built-in nats-server.",
}

// A config has the settings of the gateway. helpTexts says what each of them does.
type config struct {
	Listen     string   `group:"http" default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	ListenMode fileMode `group:"http" default:"0660" placeholder:"MODE"`

	AuthFile             string        `group:"http" placeholder:"FILE"`
	AllowAnonymous       bool          `group:"http"`
	AllowedHost          []string      `group:"http" placeholder:"HOST"`
	AllowOrigin          []string      `group:"http" placeholder:"ORIGIN"`
	BasePath             string        `group:"http" placeholder:"/PATH"`
	RequirePreconditions bool          `group:"http"`
	RequestTimeout       time.Duration `group:"http" default:"5s" placeholder:"DURATION"`
	StreamMaxAge         time.Duration `group:"http" default:"1h" placeholder:"DURATION"`
	StreamLoops          int           `group:"http" default:"-1" placeholder:"COUNT"`
	MaxStreams           int           `group:"http" default:"20000" placeholder:"COUNT"`
	StreamsPerCaller     int           `group:"http" default:"15000" placeholder:"COUNT"`
	Rate                 int           `group:"http" default:"-1" placeholder:"NUMBER"`
	MemoryForAnswers     byteSize      `group:"http" default:"96MiB" placeholder:"SIZE"`
	Memory               byteSize      `group:"http" default:"256MiB" placeholder:"SIZE"`
	MemoryBuckets        []string      `group:"http" placeholder:"BUCKET"`
	TransactionRate      int           `group:"http" default:"20" placeholder:"NUMBER"`
	AdminListen          string        `group:"http" placeholder:"HOST:PORT"`

	Console string `group:"http" default:"write" enum:"off,read,write" placeholder:"MODE"`

	transportConfig `embed:""`
	traceConfig     `embed:""`

	DataDir          string   `group:"embedded" default:"./kvgw-data" placeholder:"DIR"`
	Sync             syncMode `group:"embedded" default:"always" placeholder:"WHEN"`
	AcceptLoss       bool     `group:"embedded"`
	EmbeddedListen   string   `group:"embedded" placeholder:"HOST:PORT"`
	EmbeddedWSListen string   `name:"embedded-ws-listen" group:"embedded" placeholder:"HOST:PORT"`
	SlowWritesAbove  byteSize `group:"embedded" default:"192MiB" placeholder:"SIZE"`
	MemoryForBuckets byteSize `group:"embedded" default:"256MiB" placeholder:"SIZE"`

	NatsURL      string `name:"nats-url" group:"nats" placeholder:"URL"`
	NatsCreds    string `group:"nats" placeholder:"FILE"`
	NatsUser     string `group:"nats" placeholder:"NAME"`
	NatsPassword string `group:"nats" placeholder:"PASSWORD"`
	NatsToken    string `group:"nats" placeholder:"TOKEN"`
	NatsNkey     string `group:"nats" placeholder:"FILE"`
	NatsTLSCA    string `name:"nats-tls-ca" group:"nats" placeholder:"FILE"`
	NatsTLSCert  string `name:"nats-tls-cert" group:"nats" placeholder:"FILE"`
	NatsTLSKey   string `name:"nats-tls-key" group:"nats" placeholder:"FILE"`
	JSDomain     string `name:"js-domain" group:"nats" placeholder:"NAME"`
	JSAPIPrefix  string `name:"js-api-prefix" group:"nats" placeholder:"SUBJECT"`
	InboxPrefix  string `group:"nats" placeholder:"SUBJECT"`
	NatsName     string `group:"nats" default:"kvgw" placeholder:"NAME"`

	LogFormat string `group:"process" default:"auto" enum:"auto,json,console" placeholder:"FORMAT"`
	LogLevel  string `group:"process" default:"info" enum:"${log_levels}" placeholder:"LEVEL"`
	LogKeys   bool   `group:"process"`

	DrainDelay      time.Duration `group:"process" default:"0s" placeholder:"DURATION"`
	ShutdownTimeout time.Duration `group:"process" default:"10s" placeholder:"DURATION"`
}

// envPrefix begins the names of the environment variables of all settings.
const envPrefix = "KVGW"

// errHelpShown ends a run that only had to print the help.
var errHelpShown = errors.New("help shown")

// parse reads the command line and the environment, and returns the name of the command. It returns
// a *usageError for a mistake, and errHelpShown if it has printed the help.
func parse(args []string, stdout io.Writer) (*command, string, error) {
	var c command
	helpShown := false
	parser, err := kong.New(&c,
		kong.Name("gateway"),
		kong.Description(description),
		kong.ExplicitGroups(helpGroups),
		kong.DefaultEnvars(envPrefix),
		kong.Vars{"log_levels": "trace,debug,info,warn,error",
			"proxy_headers": "x-forwarded-for,forwarded"},
		commandHelp,
		kong.PostBuild(setVariables),
		kong.PostBuild(setHelp),
		kong.Help(printHelp),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 120}),
		kong.Writers(stdout, stdout),
		kong.Exit(func(int) { helpShown = true }), // by default kong ends the process after --help
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
	switch name := parsed.Command(); {
	case c.ShowVersion:
		return &c, "version", nil
	case strings.HasPrefix(name, "help"):
		return parse(append(c.Help.Command, "--help"), stdout)
	default:
		return &c, name, checkUse(&c.config, parsed)
	}
}

// checkUse returns a *usageError that lists all mistakes in the settings of serve.
func checkUse(c *config, parsed *kong.Context) error {
	if parsed.Command() != "serve" {
		return nil
	}
	mistakes := c.mistakes(func(flag string) bool { return given(parsed, flag) })
	if len(mistakes) == 0 {
		return nil
	}
	return &usageError{strings.Join(mistakes, "\ngateway: ") + "\nSee gateway --help."}
}

// given reports whether a setting comes from the command line or the environment, and not from its
// default.
func given(parsed *kong.Context, flag string) bool {
	for _, path := range parsed.Path {
		if path.Flag != nil && path.Flag.Name == flag {
			return true
		}
	}
	return os.Getenv(variableOf(flag)) != ""
}

// variableOf returns the name of the environment variable of a setting.
func variableOf(flag string) string {
	return envPrefix + "_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// setVariables names the variable of each setting after its flag. kong's own name for that of
// http2-streams has HTTP_2, which nobody would guess.
func setVariables(k *kong.Kong) error {
	for _, flag := range k.Model.Flags {
		if flag.Group != nil {
			flag.Envs = []string{variableOf(flag.Name)}
			flag.Tag.Envs = flag.Envs
		}
	}
	return nil
}

// A syncMode says when data is synced to the disk: always, or at an interval.
type syncMode struct {
	// always says that data is synced before a write is acknowledged.
	always bool
	// interval is the time between two syncs otherwise.
	interval time.Duration
}

// UnmarshalText parses the text of a setting.
func (m *syncMode) UnmarshalText(text []byte) error {
	if string(text) == "always" {
		*m = syncMode{always: true}
		return nil
	}
	interval, err := time.ParseDuration(string(text))
	if err != nil || interval < time.Millisecond {
		return fmt.Errorf("%q is neither always nor an interval of at least 1ms, such as 100ms",
			text)
	}
	*m = syncMode{interval: interval}
	return nil
}
