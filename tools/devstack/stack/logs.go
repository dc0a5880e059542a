package stack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// longLog is the size in bytes at which a log becomes `.1`, in the place of the one before.
const longLog = 32 << 20

// openLog opens a log for appending, rotated first if it is long.
func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && info.Size() > longLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// rotate copies a long log away and empties it in place: the process that writes it keeps appending to the same file.
func rotate(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() <= longLog {
		return nil
	}
	if err != nil {
		return err
	}
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path+".1", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	return os.Truncate(path, 0)
}

// tail is the end of a log, for a person who has to find out why something does not start.
func tail(path string) string {
	text, err := lastBytes(path, 2000)
	if err != nil || len(text) == 0 {
		return "its log is " + path
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) > 8 {
		lines = lines[len(lines)-8:]
	}
	return "the end of " + path + ":\n  " + strings.Join(lines, "\n  ")
}

// hint explains a death by what its log says last.
func hint(path string) string {
	text, err := lastBytes(path, 4000)
	if err == nil && bytes.Contains(bytes.ToLower(text), []byte("no space left on device")) {
		return ", the disk is full, make room on it"
	}
	last := bytes.TrimSpace(text)
	last = last[bytes.LastIndexByte(last, '\n')+1:]
	if len(last) == 0 {
		return ", its log is " + path
	}
	return fmt.Sprintf(", its log %s ends with %q", path, last)
}

func lastBytes(path string, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	start := max(0, info.Size()-n)
	return io.ReadAll(io.NewSectionReader(f, start, info.Size()-start))
}
