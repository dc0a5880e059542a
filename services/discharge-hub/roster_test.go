package dischargehub

import (
	"bytes"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/feeds"
	"github.com/homeward-care/homeward/services/discharge-hub/migrations"
	"github.com/homeward-care/homeward/services/discharge-hub/mllp"
	"github.com/homeward-care/homeward/services/kit/kittest"
)

const otherKey = `"jwks":{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`

func TestClientsAreReadAgainAndAWrongFileKeepsThoseOfBefore(t *testing.T) {
	all, err := loadFeeds("")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.json", `{"id":"a",`+otherKey+`,"feeds":["mse-fhir"]}`)
	var log bytes.Buffer
	now := day(1, 9)
	r, err := openRoster(all, "", dir, func() time.Time { return now }, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	look := func(want string) {
		t.Helper()
		for range 2 {
			if _, err := r.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Join(r.get().ids(), " "); got != want {
			t.Errorf("clients %q, want %q", got, want)
		}
	}
	look("a")
	write("b.json", `{"id":"b",`+otherKey+`,"feeds":["mse-fhir"]}`)
	if _, err := r.Step(t.Context()); err != nil || len(r.get().ids()) != 1 {
		t.Errorf("a file that was just changed was read: %v, %v", r.get().ids(), err)
	}
	look("a b")
	write("b.json", `{"id":"b",`+otherKey+`,"feeds":["nobody's"]}`)
	alarms := func() int { return strings.Count(log.String(), "alarm: the files of feeds and clients cannot be used") }
	look("a b")
	look("a b")
	if alarms() != 1 || !strings.Contains(log.String(), "b.json") {
		t.Errorf("%d alarms:\n%s", alarms(), log.String())
	}
	now = now.Add(wrongAgain)
	if look("a b"); alarms() != 2 {
		t.Errorf("an alarm is not repeated:\n%s", log.String())
	}
	if err := os.Remove(filepath.Join(dir, "b.json")); err != nil {
		t.Fatal(err)
	}
	look("a")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if look("a"); alarms() != 3 {
		t.Errorf("a folder that is gone raises no alarm:\n%s", log.String())
	}
}

func TestAWrongFeedFileKeepsTheFeedsOfBefore(t *testing.T) {
	feedsDir, clientsDir := feedsWith(t, map[string]string{"open": "", "mute": ""}), t.TempDir()
	list, err := loadFeeds(feedsDir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := feeds.Files.ReadFile("mse-fhir.json")
	if err != nil {
		t.Fatal(err)
	}
	write := func(dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(name string) {
		t.Helper()
		if err := os.Remove(filepath.Join(feedsDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	r, err := openRoster(list, feedsDir, "", func() time.Time { return day(1, 9) }, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r.usable = Config{}.usable
	r.clientsDir = clientsDir // without a file that is wrong, as a folder that is about to be filled is
	write(clientsDir, "a.json", `{"id":"a",`+otherKey+`,"feeds":["mse-fhir"]}`)
	look := func(alarm string, want ...string) {
		t.Helper()
		log.Reset()
		for range 2 {
			if _, err := r.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := slices.Sorted(maps.Keys(r.feeds())); !slices.Equal(got, want) {
			t.Errorf("feeds %q, want %q", got, want)
		}
		if got := log.String(); strings.Contains(got, "alarm") != (alarm != "") || !strings.Contains(got, alarm) {
			t.Errorf("it does not say %q: %s", alarm, got)
		}
	}
	look("a.json", "mute", "open") // a client of a feed that is not there yet
	write(feedsDir, "mse-fhir.json", string(text))
	look("", "mse-fhir", "mute", "open")
	write(feedsDir, "open.json", `{"key":"open"`)
	look("open.json", "mse-fhir", "mute", "open")
	writeFeed(t, feedsDir, "open", `,"certificates":["engine.example"]`)
	look("MLLP_TLS_ADDR", "mse-fhir", "mute", "open")
	if len(r.feeds()["open"].Certificates) > 0 {
		t.Error("a feed that could send nothing is used")
	}
	writeFeed(t, feedsDir, "open", "")
	remove("mute.json")
	look("", "mse-fhir", "open")
	remove("mse-fhir.json")
	look("a.json", "mse-fhir", "open")
}

// TestFeedsAreReadAgainWithoutARestart adds, changes and takes out feeds while a connection stays open.
func TestFeedsAreReadAgainWithoutARestart(t *testing.T) {
	first, second := newWard(t).start(), newWard(t).start()
	dir := feedsWith(t, map[string]string{"open": first.answersTo("")})
	h := startHub(t, func(c *Config) { c.FeedsDir = dir })
	conn, err := net.Dial("tcp", h.cfg.MLLPAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := mllp.NewReader(conn, 0)
	sent := 0
	send := func(application string) string {
		sent++
		id := strconv.Itoa(sent)
		return exchange(t, conn, in, adt("A03", "M"+id, "V"+id, day(2, 14)).Set("MSH-3", application).Bytes()).Get("MSA-1").Text()
	}
	until := func(application, want string) string {
		kittest.Eventually(t, application+" is answered "+want, func() bool { return send(application) == want })
		return "received V" + strconv.Itoa(sent)
	}
	told := func(w *ward, word string) {
		kittest.Eventually(t, "the ward is told "+word, func() bool { return slices.Contains(w.words(), word) })
	}
	told(first, until("MSEPAS", "AA"))
	until("MSEPAS-NEW", "AR")

	writeFeed(t, dir, "new", second.answersTo(""))
	told(second, until("MSEPAS-NEW", "AA"))

	writeFeed(t, dir, "open", second.answersTo(""))
	var words []string
	kittest.Eventually(t, "answers go where the file says by now", func() bool {
		send("MSEPAS")
		words = append(words, "received V"+strconv.Itoa(sent))
		return slices.ContainsFunc(second.words(), func(word string) bool { return slices.Contains(words, word) })
	})
	h.allAccepted(t)

	if err := os.Remove(filepath.Join(dir, "new.json")); err != nil {
		t.Fatal(err)
	}
	until("MSEPAS-NEW", "AR")
	told(second, until("MSEPAS", "AA"))
}

// TestAClientThatIsAddedIsToldOfWhatWasBefore adds the first client of a provider while the hub runs: a stay from before is posted to it.
func TestAClientThatIsAddedIsToldOfWhatWasBefore(t *testing.T) {
	receiver := &taskReceiver{status: http.StatusNoContent}
	server := httptest.NewServer(receiver)
	t.Cleanup(server.Close)
	feedsDir := t.TempDir()
	if err := os.CopyFS(feedsDir, feeds.Files); err != nil {
		t.Fatal(err)
	}
	text, err := feeds.Files.ReadFile("mse-fhir.json")
	if err != nil {
		t.Fatal(err)
	}
	other := strings.NewReplacer("mse-fhir", "bhrut-fhir", "RAJ", "RF4").Replace(string(text))
	if err := os.WriteFile(filepath.Join(feedsDir, "bhrut-fhir.json"), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	open, _ := withFHIR(t, map[string]string{"bhrut": `"feeds":["bhrut-fhir"]`})
	h := startHub(t, open, func(cfg *Config) { cfg.FeedsDir = feedsDir })
	h.send(t, adt("A03", "M1", "V1", day(2, 14)).Bytes())
	h.spell(t, spellID("V1"))

	if err := os.WriteFile(filepath.Join(h.cfg.ClientsDir, "secret"), []byte(strings.Repeat("s", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	file := `{"id":"mse",` + otherKey + `,"feeds":["mse-fhir"],"webhook":{"url":"` + server.URL + `","secret_file":"secret"}}`
	if err := os.WriteFile(filepath.Join(h.cfg.ClientsDir, "mse.json"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	kittest.Eventually(t, "the Task is posted to the client that was added", func() bool {
		_, bodies := receiver.got()
		return strings.Contains(strings.Join(bodies, ""), `"value":"V1"`)
	})
}

// TestWhatIsDueToAClientOfBeforeIsPostedToNobody takes a provider away from a client while its Task waits to be posted to it.
func TestWhatIsDueToAClientOfBeforeIsPostedToNobody(t *testing.T) {
	t.Parallel()
	db := kittest.Open(t, kittest.Database(t, migrations.FS))
	h := &hub{db: db}
	if _, err := db.Pool.Exec(t.Context(), `
		WITH stay AS (
			INSERT INTO spell (id, reference, received_at) SELECT gen_random_uuid(), provider, $1 FROM unnest(ARRAY['RAJ', 'RF4']) provider RETURNING *
		), told AS (
			INSERT INTO fhir_task SELECT gen_random_uuid(), id, reference, reference, '', $1, 1, $1, '', '', '{}' FROM stay RETURNING *
		), open AS (
			INSERT INTO exception (kind, owner, opened_at, spell_id, detail) SELECT 'webhook-undelivered', 'ops', $1, spell_id, '' FROM told
		), due AS (
			INSERT INTO webhook_due (client, task_id, version, since, next_at) SELECT client, task_id, 1, $1, $1 FROM told, unnest(ARRAY['a', 'b', 'gone']) client RETURNING *
		)
		INSERT INTO webhook_attempt (client, task_id, version, at, status, error) SELECT client, task_id, 1, $1, 500, 'answered 500' FROM due`, day(1, 9)); err != nil {
		t.Fatal(err)
	}
	a := client{ID: "a", Feeds: []discharge.Feed{{Provider: "RAJ"}}, Webhook: &webhook{}}
	now := func() time.Time { return day(1, 10) }
	p := &poster{client: a, atATime: postBatch, store: &store{db: db, claims: living(t, db)}, now: now}
	due, err := p.claim(t.Context())
	if err != nil || len(due) != 1 || h.count(t, `SELECT count(*) FROM fhir_task WHERE provider = 'RAJ' AND task_id = $1`, due[0].task.id) != 1 {
		t.Errorf("posted are %+v, %v", due, err)
	}

	clients := &roster{}
	clients.current.Store(newClientele(nil, map[string]client{"a": a}))
	w := &taskWalker{store: &store{db: db, teller: &teller{clients}}, clients: clients, now: now}
	if _, err := w.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{
		`SELECT count(*) FROM webhook_due`:                                                                              1,
		`SELECT count(*) FROM webhook_attempt WHERE taken_at IS NOT NULL`:                                               5, // over, and forgotten some day
		`SELECT count(*) FROM webhook_attempt WHERE taken_at IS NULL`:                                                   2, // the one that failed, and the one that was begun just now
		`SELECT count(*) FROM webhook_due JOIN fhir_task USING (task_id) WHERE client = 'a' AND provider = 'RAJ'`:       1,
		`SELECT count(*) FROM exception e JOIN fhir_task USING (spell_id) WHERE provider = 'RF4' AND closed_at IS NULL`: 0,
		`SELECT count(*) FROM exception e JOIN fhir_task USING (spell_id) WHERE provider = 'RAJ' AND closed_at IS NULL`: 1,
	} {
		if n := h.count(t, query); n != want {
			t.Errorf("%d, not %d: %s", n, want, query)
		}
	}
}
