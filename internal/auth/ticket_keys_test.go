package auth_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"testing/synctest"

	"kvgateway/internal/auth"
)

// ticketKey returns a key for tickets that is made of a letter.
func ticketKey(letter string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 32))) + "\n"
}

// setKeys puts keys of tickets in force.
func setKeys(t *testing.T, gate *auth.Gate, keys string) {
	t.Helper()
	if err := gate.TicketKeys().Set([]byte(keys)); err != nil {
		t.Fatal(err)
	}
}

// A key that has leaked is taken out of the file: what its tickets have opened ends at once, and
// nothing else does.
func TestTicketKeyThatIsWithdrawnEndsWhatItsTicketsOpened(t *testing.T) {
	t.Parallel()
	gate := gateOf(t, tokenFile(annsToken, ""))
	setKeys(t, gate, ticketKey("a"))
	ticket, _ := ticketFor(t, gate, annsToken, watched(t, "orders.*"))
	caller, err := present(t, gate, ticket)
	if err != nil {
		t.Fatal(err)
	}
	byTicket := tied(t, gate, caller, "orders.1")
	byToken := tied(t, gate, isAccepted(t, gate, annsToken, "the token"), "orders.1")
	setKeys(t, gate, ticketKey("b")+ticketKey("a"))
	if current, err := gate.Current(caller); err != nil || !byTicket.wasTold() {
		t.Errorf("with one more key it is %v, %v, and was told %v", current, err, byTicket.told)
	}
	setKeys(t, gate, ticketKey("b"))
	if current, err := gate.Current(caller); err == nil || !byTicket.wasTold(auth.RightsChanged) {
		t.Errorf("without its key it is %v, and was told %v", current, byTicket.told)
	}
	if !byToken.wasTold() {
		t.Errorf("the stream of the token was told %v", byToken.told)
	}
}

// A clock that is wrong, and whoever has a leaked key, can make tickets without an end.
func TestTicketForLongerThanAnHourIsRefused(t *testing.T) {
	t.Parallel()
	gate := gateOf(t, tokenFile(annsToken, ""))
	ticket, _ := ticketFor(t, gate, annsToken, watched(t, "orders.*"))
	synctest.Test(t, func(t *testing.T) { // In there it is the year 2000.
		refused(t, gate, ticket, "it ends in years")
		ticket, _ := ticketFor(t, gate, annsToken, watched(t, "orders.*"))
		if _, err := present(t, gate, ticket); err != nil {
			t.Errorf("it ends in an hour: %v", err)
		}
	})
}
