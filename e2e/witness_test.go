package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	pickupv1 "github.com/homeward-care/homeward/proto/gen/homeward/pickup/v1"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/devinfra"
)

// wardAddr is where the answers of the feed `witness` go.
var wardAddr string

// witnessFeed is a hospital that takes answers; it sends as WITNESS.
const witnessFeed = `{"key": "witness", "door": "mllp", "application": "WITNESS", "facilities": ["RAJ"], "provider": "RAJ", "scope": "social-care",
	"time_zone": "Europe/London", "mode": "live", "mapping": {"version": "1", "method": "PV1-36", "destination": "PV1-37", "practices": ["PD1-3"]},
	"answers": {"addr": %q, "application": "WITNESS", "facility": "RAJ"}}`

// writeFeeds makes a folder of the feeds that are built in and the witness's.
func writeFeeds(dir string) error {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	wardAddr = lis.Addr().String()
	if err := lis.Close(); err != nil {
		return err
	}
	checkout, err := devinfra.Checkout()
	if err != nil {
		return err
	}
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(checkout, "services/discharge-hub/feeds"))); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "witness.json"), fmt.Appendf(nil, witnessFeed, wardAddr), 0o644)
}

// witness runs python-hl7 (hospital/witness.py), and reads what it tells of each message: texts by the library's own keys.
type witness struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startWitness(t *testing.T, command, addr string, keys ...string) *witness {
	t.Helper()
	python, err := devinfra.FindPython(t.Context(), "hl7", "python3-hl7", say)
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(addr)
	args := []string{"hospital/witness.py", command}
	if command == "send" {
		args = append(args, host)
	}
	w := &witness{t: t, cmd: python.Command(t.Context(), append(append(args, port), keys...)...)}
	w.cmd.Stderr = t.Output()
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.out = bufio.NewReader(out)
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		_ = w.cmd.Wait()
	})
	return w
}

// told is the next message that it got.
func (w *witness) told() map[string]string {
	w.t.Helper()
	line, err := w.out.ReadBytes('\n')
	if err != nil {
		w.t.Fatalf("the witness ended: %v", err)
	}
	told := map[string]string{}
	if err := json.Unmarshal(line, &told); err != nil {
		w.t.Fatalf("%s: %v", line, err)
	}
	return told
}

// send has it build and send a message, and returns what it reads in the acknowledgement.
func (w *witness) send(delimiters string, fields map[string]string) map[string]string {
	w.t.Helper()
	order, err := json.Marshal(map[string]any{"delimiters": delimiters, "fields": fields})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.in.Write(append(order, '\n')); err != nil {
		w.t.Fatal(err)
	}
	return w.told()
}

// message is one that the witness's hospital sends; more are fields beside those that every message of a visit has.
func witnessed(trigger, id, recorded, visit string, more map[string]string) map[string]string {
	m := map[string]string{
		"MSH.F3": "MSEPAS", "MSH.F4": "RAJ", "MSH.F5": "THURROCK-HUB", "MSH.F6": "THURROCK", "MSH.F7": recorded,
		"MSH.F9.R1.C1": "ADT", "MSH.F9.R1.C2": trigger, "MSH.F10": id, "MSH.F11": "P", "MSH.F12": "2.4", "MSH.F18": "UNICODE UTF-8",
		"EVN.F1": trigger, "EVN.F2": recorded,
		"PID.F3.R1.C1": "QW72" + visit, "PID.F3.R1.C4": "RAJ", "PID.F3.R1.C5": "PI",
		"PID.F11.R1.C1": "3 WYTNESSGATE", "PID.F11.R1.C5": "RM17 6YY", "PD1.F3.R1.C3": "F81155",
		"PV1.F2": "I", "PV1.F19": visit, "PV1.F36": "1", "PV1.F37": "19",
	}
	maps.Copy(m, more)
	return m
}

// acknowledged are the keys of an acknowledgement that are looked at.
var acknowledged = []string{"MSH.F1", "MSH.F2", "MSH.F5", "MSH.F9.R1.C1", "MSH.F9.R1.C2", "MSA.F1.R1.C1", "MSA.F2.R1.C1", "MSA.F3.R1.C1"}

// TestAnotherLibrarysMessagesAreReadAndItReadsTheAnswers has python-hl7 tell of a stay, with the standard's delimiters and with others, and
// with every delimiter in a name.
func TestAnotherLibrarysMessagesAreReadAndItReadsTheAnswers(t *testing.T) {
	for name, delimiters := range map[string]string{"STANDARD": `|^~\&`, "OTHERS": `#*!?:`, "MIXED": `^|&\~`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := startWitness(t, "send", shared.MLLP, acknowledged...)
			family, given := `WYTNESSHAUGH & SONS ^|~\#*!?: `+name, "ZOË "+name
			identifiers.add("name", "WYTNESSHAUGH", given)
			person := map[string]string{"PID.F5.R1.C1": family, "PID.F5.R1.C2": given, "PID.F7": "19330303"}
			visit := "WIT-" + name
			id := func(n string) string { return n + "&^|#*~" + name }
			left := map[string]string{"PV1.F45": "20260711110000"}
			maps.Copy(left, person)
			merged := map[string]string{"MRG.F1.R1.C1": "QW73" + name, "MRG.F1.R1.C4": "RAJ", "MRG.F1.R1.C5": "PI"}
			maps.Copy(merged, person)
			for _, m := range []map[string]string{
				witnessed("A01", id("1"), "20260701100000", visit, person),
				witnessed("A03", id("2"), "20260711120000", visit, left),
				witnessed("A13", id("3"), "20260711130000", visit, nil),
				witnessed("A08", id("4"), "20260711140000", visit, map[string]string{"PV1.F3.R1.C1": "ELM"}),
				witnessed("A03", id("5"), "20260712120000", visit, map[string]string{"PV1.F45": "20260712110000"}),
				// Another visit under another number of the same person, whose name is in the merge alone.
				witnessed("A03", id("6"), "20260712130000", visit+"B", map[string]string{"PID.F3.R1.C1": "QW73" + name, "PV1.F45": "20260712123000"}),
				witnessed("A40", id("7"), "20260712140000", visit, merged),
			} {
				ack := w.send(delimiters, m)
				want := map[string]string{"MSH.F1": delimiters[:1], "MSH.F2": delimiters[1:], "MSH.F5": "MSEPAS", "MSH.F9.R1.C1": "ACK",
					"MSH.F9.R1.C2": m["EVN.F1"], "MSA.F1.R1.C1": "AA", "MSA.F2.R1.C1": m["MSH.F10"], "MSA.F3.R1.C1": ""}
				if !maps.Equal(ack, want) {
					t.Errorf("%s was answered\n%q, not\n%q", m["MSH.F10"], ack, want)
				}
			}
			for _, control := range []string{id("5"), id("6")} {
				text, err := shared.outcome(t.Context(), control)
				if err != nil || !strings.HasPrefix(text[0], "pick-up-due") || !strings.HasPrefix(text[1], "team: CLS-GRAYS") || !strings.HasPrefix(text[2], "due: 2026-08-23") {
					t.Errorf("%s came to %q: %v", control, text, err)
				}
			}
			eventually(t, "both visits are the person's", func() error {
				for _, control := range []string{id("5"), id("6")} {
					h, _, err := shared.handover(t.Context(), control)
					if err != nil {
						return err
					}
					people, err := shared.hub.GetPeople(t.Context(), &dischargev1.GetPeopleRequest{SpellIds: []string{h.GetSpellId()}})
					if err != nil {
						return err
					}
					if p := people.GetPeople()[h.GetSpellId()]; p.GetFamilyName() != family || p.GetGivenName() != given {
						return fmt.Errorf("the person of %s is %q, %q", control, p.GetFamilyName(), p.GetGivenName())
					}
				}
				return nil
			})
			stranger := witnessed("A03", id("8"), "20260712150000", visit, nil)
			stranger["MSH.F3"] = "STRANGER"
			if ack := w.send(delimiters, stranger); ack["MSA.F1.R1.C1"] != "AR" || ack["MSA.F2.R1.C1"] != id("8") || !strings.HasPrefix(ack["MSA.F3.R1.C1"], "MSH-3 \"STRANGER\" and MSH-4 \"RAJ\" name no") {
				t.Errorf("a stranger was answered %q", ack)
			}
			enhanced := witnessed("A08", id("9"), "20260712160000", visit, map[string]string{"MSH.F15": "AL", "MSH.F16": "NE"})
			if ack := w.send(delimiters, enhanced); ack["MSA.F1.R1.C1"] != "CA" {
				t.Errorf("in enhanced mode it was answered %q", ack)
			}
		})
	}
}

// TestAnotherLibraryReadsTheWardsAnswers has python-hl7 take what the ward is told, and refuse each answer once.
func TestAnotherLibraryReadsTheWardsAnswers(t *testing.T) {
	t.Parallel()
	ward := startWitness(t, "ward", wardAddr, "MSH.F5", "MSH.F9.R1.C1", "MSH.F9.R1.C2", "MSH.F10", "PV1.F19",
		"OBX1.F3.R1.C1", "OBX1.F5.R1.C1", "OBX2.F3.R1.C1", "OBX2.F5.R1.C1", "OBX3.F3.R1.C1", "OBX3.F5.R1.C1", "OBX4.F3.R1.C1", "OBX4.F5.R1.C1")
	const visit = "WIT & WARD"
	w := startWitness(t, "send", shared.MLLP, acknowledged...)
	w.send(`|^~\&`, witnessed("A03", "WIT-WARD", "20260711120000", visit, map[string]string{"MSH.F3": "WITNESS", "PV1.F45": "20260711110000"}))
	h, _, err := shared.handover(t.Context(), "WIT-WARD")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"received", "delivered", "taken"} {
		if word == "taken" {
			task, err := shared.task(t.Context(), h.GetSpellId())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := shared.as(t, authn.CLSWorker, "CLS-GRAYS").TakeTask(t.Context(),
				&pickupv1.TakeTaskRequest{TaskId: task.GetTask().GetTaskId(), Version: task.GetVersion()}); err != nil {
				t.Fatal(err)
			}
		}
		first, again := ward.next(visit), ward.next(visit)
		if !maps.Equal(first, again) {
			t.Errorf("what was refused is sent again otherwise:\n%q\n%q", first, again)
		}
		want := map[string]string{"MSH.F5": "WITNESS", "MSH.F9.R1.C1": "ORU", "MSH.F9.R1.C2": "R01", "PV1.F19": visit,
			"OBX1.F3.R1.C1": "HANDOVER-WORD", "OBX1.F5.R1.C1": word, "OBX2.F3.R1.C1": "HANDOVER-REFERENCE", "OBX2.F5.R1.C1": h.GetReference()}
		if word != "received" {
			maps.Copy(want, map[string]string{"OBX3.F3.R1.C1": "PICK-UP", "OBX3.F5.R1.C1": "due", "OBX4.F3.R1.C1": "TEAM", "OBX4.F5.R1.C1": "CLS-GRAYS"})
		}
		delete(first, "MSH.F10")
		maps.DeleteFunc(first, func(_, v string) bool { return v == "" })
		if !maps.Equal(first, want) {
			t.Errorf("the ward was told\n%q, not\n%q", first, want)
		}
	}
}

// next is the next message about a visit.
func (w *witness) next(visit string) map[string]string {
	w.t.Helper()
	for {
		if m := w.told(); m["PV1.F19"] == visit {
			return m
		}
	}
}
