package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/homeward-care/homeward/e2e/hospital"
	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// identifiers are everything by which a person whom the shared stack knows could be recognised: each is looked for at the end.
var identifiers = newPeople()

func newPeople() *people { return &people{kinds: map[string]string{}, spellings: map[string]bool{}} }

type people struct {
	mu sync.Mutex
	// kinds holds what kind of identifier each is, in lower case.
	kinds map[string]string
	// spellings are those of them that no test sent in this form, but that a program might make of what was sent.
	spellings map[string]bool
}

func (p *people) add(kind string, values ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range values {
		if v = strings.ToLower(strings.TrimSpace(v)); len(v) > 3 && v != `""` {
			p.kinds[v] = kind
		}
	}
}

// addMessage takes the identifiers of PID.
func (p *people) addMessage(m hospital.Message) {
	for number := range strings.SplitSeq(m["PID-3"], "~") {
		p.add("number", strings.Split(number, "^")[0])
	}
	p.add("name", strings.SplitN(m["PID-5"]+"^", "^", 3)[:2]...)
	p.addBirth(m["PID-7"])
	for address := range strings.SplitSeq(m["PID-11"], "~") {
		parts := append(strings.Split(address, "^"), "", "", "", "", "")
		p.add("address", parts[0], parts[1])
		p.addPostcode(parts[4])
	}
	p.add("phone", strings.Split(m["PID-13"], "^")[0])
}

func (p *people) addPerson(person *dischargev1.Person) {
	p.add("number", person.GetNhsNumber())
	p.add("name", person.GetFamilyName(), person.GetGivenName())
	p.add("birth date", person.GetBirthDate())
	p.addSpelling("birth date", strings.ReplaceAll(person.GetBirthDate(), "-", ""))
	p.addPostcode(person.GetPostcode())
}

func (p *people) addBirth(date string) {
	if len(date) >= 8 {
		p.add("birth date", date[:8])
		p.addSpelling("birth date", date[:4]+"-"+date[4:6]+"-"+date[6:8])
	}
}

func (p *people) addPostcode(code string) {
	if len(code) >= 6 && !strings.HasPrefix(code, "ZZ99") {
		p.add("postcode", code)
		p.addSpelling("postcode", strings.ReplaceAll(code, " ", ""))
	}
}

func (p *people) addSpelling(kind, value string) {
	value = strings.ToLower(value)
	p.add(kind, value)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spellings[value] = true
}

// missing are the identifiers that were sent and are not among the found ones.
func (p *people) missing(found []string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var missing []string
	for id := range p.kinds {
		if !p.spellings[id] && !slices.Contains(found, id) {
			missing = append(missing, id)
		}
	}
	return missing
}

// in returns the identifiers that a text or the bytes of anything hold. One of digits alone counts where it stands alone: long numbers and
// ids hold such digits by chance.
func (p *people) in(data []byte) []string {
	data = bytes.ToLower(data)
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []string
	for id := range p.kinds {
		digits := !strings.ContainsFunc(id, func(r rune) bool { return r < '0' || '9' < r })
		for at, rest := 0, data; ; {
			i := bytes.Index(rest, []byte(id))
			if i < 0 {
				break
			}
			at += i
			if !digits || !alnumAt(data, at-1) && !alnumAt(data, at+len(id)) {
				found = append(found, id)
				break
			}
			at++
			rest = data[at:]
		}
	}
	slices.Sort(found)
	return found
}

func alnumAt(data []byte, i int) bool {
	return i >= 0 && i < len(data) && ('0' <= data[i] && data[i] <= '9' || 'a' <= data[i] && data[i] <= 'z')
}

// place is somewhere that identifiers could have leaked to, with all that is there.
type place struct {
	name string
	data []byte
}

// findNoIdentifiers looks for the test people in everything that the platform wrote, save the hub's database, where they belong: that all
// of them are found there shows that the search finds what there is.
func (p *platform) findNoIdentifiers(who *people) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	rows, err := p.database(ctx, "discharge-hub")
	if err != nil {
		return err
	}
	if missing := who.missing(who.in(rows)); len(who.kinds) == 0 || len(missing) > 0 {
		return fmt.Errorf("the search is broken: of %d identifiers it does not find %q in the hub's own database", len(who.kinds), missing)
	}
	spells, err := query(ctx, p, "discharge-hub", pgx.RowTo[string], `SELECT id::text FROM spell ORDER BY received_at DESC LIMIT 1`)
	if err != nil || len(spells) == 0 {
		return fmt.Errorf("the search is broken: the hub knows no spell: %w", err)
	}
	var places []place
	if err := within(ctx, limit, func() error { // spans come a moment after the work
		if places, err = p.places(ctx); err != nil {
			return err
		}
		for _, of := range p.carriers() {
			if !slices.ContainsFunc(places, func(place place) bool { return place.name == of && bytes.Contains(place.data, []byte(spells[0])) }) {
				return fmt.Errorf("the search is broken: spell %s is not in %s", spells[0], of)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	return errors.Join(who.leaksIn(places)...)
}

// carriers are places in which every spell is. A stream may have been wiped where there is no Jaeger: that is the stack of a test which
// breaks things, and what was in the stream then came by reconciliation.
func (p *platform) carriers() []string {
	if p.Jaeger == "" {
		return []string{"database of community-pickup"}
	}
	return []string{"database of community-pickup", "stream discharge", "stream pickup", "spans of discharge-hub", "spans of community-pickup"}
}

func (p *people) leaksIn(places []place) []error {
	var leaks []error
	for _, place := range places {
		if len(place.data) == 0 {
			leaks = append(leaks, fmt.Errorf("the search is broken: %s is empty", place.name))
		}
		for _, id := range p.in(place.data) {
			at := bytes.Index(bytes.ToLower(place.data), []byte(id))
			around := place.data[max(0, at-200):min(len(place.data), at+100)]
			leaks = append(leaks, fmt.Errorf("%s holds the %s %q of a test person: ...%q", place.name, p.kinds[id], id, around))
		}
	}
	return leaks
}

// places reads logs, traces, streams and the other services' databases.
func (p *platform) places(ctx context.Context) ([]place, error) {
	places, err := p.logs()
	if err != nil {
		return nil, err
	}
	for _, service := range stack.Services {
		if service.Name != "discharge-hub" {
			rows, err := p.database(ctx, service.Name)
			if err != nil {
				return nil, err
			}
			places = append(places, place{"database of " + service.Name, rows})
		}
		if p.Jaeger != "" {
			spans, err := p.spans(ctx, service.Name)
			if err != nil {
				return nil, err
			}
			places = append(places, place{"spans of " + service.Name, spans})
		}
	}
	streams, err := p.streams(ctx)
	return append(places, streams...), err
}

func (p *platform) logs() ([]place, error) {
	files, err := filepath.Glob(filepath.Join(p.Logs, "*"))
	var places []place
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if len(text) > 0 || !strings.HasPrefix(filepath.Base(file), "jaeger") {
			places = append(places, place{"log " + filepath.Base(file), text})
		}
	}
	return places, err
}

// database reads every value of every row, bytes as they are.
func (p *platform) database(ctx context.Context, service string) ([]byte, error) {
	db, err := pgx.Connect(ctx, p.Databases[service])
	if err != nil {
		return nil, err
	}
	defer db.Close(ctx)
	rows, err := db.Query(ctx, `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`)
	if err != nil {
		return nil, err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	for _, table := range tables {
		rows, err := db.Query(ctx, "SELECT * FROM "+pgx.Identifier{table}.Sanitize())
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				return nil, err
			}
			for _, v := range values {
				switch v := v.(type) {
				case []byte:
					all.Write(v)
				case string:
					all.WriteString(v)
				case [16]byte:
					all.WriteString(uuid.UUID(v).String())
				default:
					text, err := json.Marshal(v)
					if err != nil {
						return nil, err
					}
					all.Write(text)
				}
				all.WriteByte('\n')
			}
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	return all.Bytes(), nil
}

// mostTraces is more than the suite makes; that it was enough is checked.
const mostTraces = 50_000

// spans asks Jaeger for all traces in which a service took part.
func (p *platform) spans(ctx context.Context, service string) ([]byte, error) {
	q := url.Values{"service": {service}, "limit": {fmt.Sprint(mostTraces)}, "lookback": {"6h"}}
	body, err := p.jaeger(ctx, "/api/traces?"+q.Encode())
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(body, []byte(`"processes":`)); n >= mostTraces {
		return nil, fmt.Errorf("Jaeger has more than %d traces of %s: not all are searched", n, service)
	}
	return body, nil
}

func (p *platform) jaeger(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Jaeger+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("Jaeger says %s: %s", resp.Status, body)
	}
	return body, err
}

// streams reads every message of every stream, headers and data.
func (p *platform) streams(ctx context.Context) ([]place, error) {
	user, password := p.Courier()
	conn, err := nats.Connect(p.NATS, nats.UserInfo(user, password))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	var places []place
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return nil, err
		}
		var all bytes.Buffer
		state := stream.CachedInfo().State
		if state.Msgs == 0 {
			continue
		}
		for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
			m, err := stream.GetMsg(ctx, seq)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(&all, "%s %v\n", m.Subject, m.Header)
			all.Write(m.Data)
		}
		places = append(places, place{"stream " + name, all.Bytes()})
	}
	return places, names.Err()
}
