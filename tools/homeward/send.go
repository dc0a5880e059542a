package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
)

const answerLimit = 30 * time.Second

// send sends one message over MLLP and returns MSA-1 and its text.
func send(addr string, message []byte) (code, text string, err error) {
	if addr == "" {
		return "", "", fmt.Errorf("set MLLP_ADDR to the address that takes HL7 messages")
	}
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return "", "", fmt.Errorf("nobody takes HL7 messages at %s: %w", addr, err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return "", "", err
	}
	if _, err := conn.Write(hl7.Frame(message)); err != nil {
		return "", "", err
	}
	raw, err := hl7.NewReader(conn, 0).Next()
	if err != nil {
		return "", "", fmt.Errorf("no acknowledgement: %w", err)
	}
	ack, err := hl7.Parse(raw)
	if err != nil {
		return "", "", fmt.Errorf("the acknowledgement cannot be read: %w", err)
	}
	return ack.Get("MSA-1").Text(), ack.Get("MSA-3").Text(), nil
}

func sendFiles(t *target, files []string, out io.Writer) error {
	for _, file := range files {
		message, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		code, text, err := send(t.mllp, message)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		fmt.Fprintf(out, "%s\t%s\t%s\n", file, code, text)
	}
	return nil
}
