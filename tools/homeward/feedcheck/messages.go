// Package feedcheck looks at a folder of a hospital's own messages and says what it sees: which fields hold what, what its feed's mapping
// does not understand, which spells would be due and why; and proposes a mapping. It decides by its arguments alone and prints codes and
// counts, nothing that identifies a person.
package feedcheck

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Message is one message of the sample.
type Message struct {
	Name string // of its file, with its number where the file holds several
	Raw  []byte
}

// ReadFolder reads every file of a folder and the folders in it, by name. A file may hold several messages, in MLLP frames or one behind
// the other. A hidden file is none.
func ReadFolder(folder fs.FS) ([]Message, error) {
	var all []Message
	err := fs.WalkDir(folder, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") && name != "." {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		data, err := fs.ReadFile(folder, name)
		if err != nil {
			return err
		}
		all = append(all, Split(name, data)...)
		return nil
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("the folder holds no messages: put HL7 v2 messages there, one or more in each file")
	}
	return all, err
}

// Split cuts the content of a file into its messages: each begins with MSH at the beginning of a line or of a frame.
func Split(name string, data []byte) []Message {
	var starts []int
	for at := 0; at+4 <= len(data); {
		i := bytes.Index(data[at:], []byte("MSH"))
		if i < 0 || at+i+4 > len(data) {
			break
		}
		at += i
		lineStart := at == 0 || bytes.IndexByte([]byte("\r\n\x0b\x1c\xbf"), data[at-1]) >= 0
		if c := data[at+3]; lineStart && c > ' ' && c < 0x7f && !alphanumeric(c) {
			starts = append(starts, at)
		}
		at += 3
	}
	if len(starts) == 0 {
		if len(bytes.TrimSpace(data)) == 0 {
			return nil
		}
		return []Message{{Name: name, Raw: data}}
	}
	var out []Message
	for i, start := range starts {
		end := len(data)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		raw := bytes.TrimRight(data[start:end], "\x0b\x1c\r\n")
		m := Message{Name: name, Raw: append(slices.Clone(raw), '\r')}
		if len(starts) > 1 {
			m.Name = fmt.Sprintf("%s#%d", name, i+1)
		}
		if bytes.IndexByte(raw, '\r') < 0 && bytes.IndexByte(raw, '\n') >= 0 {
			m.Raw[len(m.Raw)-1] = '\n' // as its sender ends its segments
		}
		out = append(out, m)
	}
	return out
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}
