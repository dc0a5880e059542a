package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"text/tabwriter"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/discharge-hub/mllp"
	"github.com/homeward-care/homeward/tools/homeward/feedcheck"
)

const answerLimit = 30 * time.Second

// sender is an MLLP connection on which one message after another is sent.
type sender struct {
	conn net.Conn
	in   *mllp.Reader
}

func dialMLLP(addr string) (*sender, error) {
	if addr == "" {
		return nil, errors.New("set MLLP_ADDR to the address that takes HL7 messages")
	}
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, fmt.Errorf("nobody takes HL7 messages at %s: %w", addr, err)
	}
	return &sender{conn: conn, in: mllp.NewReader(conn, 0)}, nil
}

// send sends one message and returns MSA-1 and its text.
func (s *sender) send(message []byte) (code, text string, err error) {
	if err := s.conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return "", "", err
	}
	if _, err := s.conn.Write(mllp.Frame(message)); err != nil {
		return "", "", err
	}
	raw, err := s.in.Next()
	if err != nil {
		return "", "", fmt.Errorf("no acknowledgement: %w", err)
	}
	ack, err := hl7.Parse(raw)
	if err != nil {
		return "", "", fmt.Errorf("the acknowledgement cannot be read: %w", err)
	}
	return ack.Get("MSA-1").Text(), ack.Get("MSA-3").Text(), nil
}

// sendOne sends one message on a connection of its own.
func sendOne(addr string, message []byte) (code, text string, err error) {
	s, err := dialMLLP(addr)
	if err != nil {
		return "", "", err
	}
	defer s.conn.Close()
	return s.send(message)
}

// meaning says what an answer means to its sender.
func meaning(code, text string) string {
	switch hl7.AckCode(code) {
	case hl7.Accept:
		return "stored; never send it again"
	case hl7.Error:
		return "not stored now; send it again. " + text
	case hl7.Reject:
		return "not taken, however often it is sent. " + text
	}
	return "an answer that HL7 does not know. " + text
}

// sendFiles sends every message of the files and folders, or of the standard input.
func sendFiles(ctx context.Context, c call) error {
	f := flags("send")
	feedName := f.String("feed", "", "the key of a built-in feed or a feed's file: refuse to send what would not be taken for that feed's")
	quiet := f.Bool("quiet", false, "print only the answers that are not AA, and the counts")
	rest, err := c.parse(f, 1, -1)
	if err != nil {
		return err
	}
	messages, err := readMessages(rest, c.in)
	if err != nil {
		return err
	}
	if *feedName != "" {
		feed, err := feedNamed(*feedName)
		if err != nil {
			return err
		}
		if err := allOf(feed, messages); err != nil {
			return err
		}
	}
	return withTarget(nil, func(t *target) error {
		s, err := dialMLLP(t.mllp)
		if err != nil {
			return err
		}
		defer s.conn.Close()
		return s.sendAll(ctx, messages, *quiet, c.out)
	})
}

func (s *sender) sendAll(ctx context.Context, messages []feedcheck.Message, quiet bool, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	counts := map[string]int{}
	for _, m := range messages {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		code, text, err := s.send(m.Raw)
		if err != nil {
			_ = w.Flush()
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		counts[code]++
		if !quiet || code != string(hl7.Accept) {
			fmt.Fprintf(w, "%s\t%s\t%s\n", m.Name, code, meaning(code, text))
		}
	}
	_ = w.Flush()
	fmt.Fprintf(out, "%d sent: %d AA, %d AE, %d AR\n", len(messages), counts["AA"], counts["AE"], counts["AR"])
	if counts["AA"] != len(messages) {
		return errors.New("not every message was accepted")
	}
	return nil
}

// readMessages reads the messages of files and folders; `-` is the standard input.
func readMessages(names []string, in io.Reader) ([]feedcheck.Message, error) {
	var all []feedcheck.Message
	for _, name := range names {
		info, err := os.Stat(name)
		switch {
		case name == "-":
			data, err := io.ReadAll(in)
			if err != nil {
				return nil, err
			}
			all = append(all, feedcheck.Split("standard input", data)...)
		case err != nil:
			return nil, err
		case info.IsDir():
			list, err := feedcheck.ReadFolder(os.DirFS(name))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			all = append(all, list...)
		default:
			data, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			all = append(all, feedcheck.Split(name, data)...)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there is no message in it")
	}
	return all, nil
}

// allOf says which messages a feed would not be told by.
func allOf(feed discharge.Feed, messages []feedcheck.Message) error {
	for _, m := range messages {
		h, err := hl7.ParseHeader(m.Raw)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		if _, ok := discharge.Match([]discharge.Feed{feed}, h.SendingApplication, h.SendingFacility); !ok {
			return fmt.Errorf("%s: MSH-3 and MSH-4 are %s at %s, and feed %s is %s at %v: nothing was sent", m.Name, h.SendingApplication, h.SendingFacility,
				feed.Key, feed.Application, feed.Facilities)
		}
	}
	return nil
}
