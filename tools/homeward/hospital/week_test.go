package hospital

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"google.golang.org/protobuf/proto"

	dischargev1 "github.com/homeward-care/homeward/proto/gen/homeward/discharge/v1"
	"github.com/homeward-care/homeward/services/community-pickup/places"
	dischargehub "github.com/homeward-care/homeward/services/discharge-hub"
	"github.com/homeward-care/homeward/services/discharge-hub/discharge"
	"github.com/homeward-care/homeward/services/discharge-hub/hl7"
	"github.com/homeward-care/homeward/services/discharge-hub/migrations"
	"github.com/homeward-care/homeward/services/discharge-hub/mllp"
	"github.com/homeward-care/homeward/services/kit/kittest"
	"github.com/homeward-care/homeward/services/kit/pg"
	"github.com/homeward-care/homeward/tools/homeward/outcome"
)

func TestMain(m *testing.M) { kittest.Main(m) }

func options(beds int, seed uint64) Options {
	return Options{Beds: beds, Days: 7, Seed: seed, From: time.Date(2026, 9, 7, 0, 0, 0, 0, discharge.London()), Application: "MSEPAS", Facility: "RAJ12", Provider: "RAJ"}
}

func TestTheSameSeedGivesTheSameWeek(t *testing.T) {
	week, again, other := Week(options(50, 3)), Week(options(50, 3)), Week(options(50, 4))
	same := func(a, b []Sent) bool {
		return slices.EqualFunc(a, b, func(x, y Sent) bool { return x.At.Equal(y.At) && bytes.Equal(x.Raw, y.Raw) })
	}
	if !same(week, again) {
		t.Error("the same seed gave two weeks")
	}
	if same(week, other) {
		t.Error("two seeds gave one week")
	}
}

// A week has everything in it that hospitals do, and no NHS number that is somebody's.
func TestAWeekHasAllTheMess(t *testing.T) {
	week := Week(options(600, 1))
	seen := map[string]int{}
	ids := map[string]string{}
	for i, s := range week {
		if i > 0 && s.At.Before(week[i-1].At) {
			t.Fatal("not in the order of sending")
		}
		m, err := hl7.Parse(s.Raw)
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		seen["trigger "+m.Header.Trigger]++
		seen["version "+m.Header.Version]++
		seen["processing "+m.Header.ProcessingID]++
		switch before := ids[m.Header.ControlID]; before {
		case "":
		case string(s.Raw):
			seen["same bytes again"]++
		default:
			seen["control id reused"]++
		}
		ids[m.Header.ControlID] = string(s.Raw)
		for what, is := range map[string]bool{
			"line feeds": bytes.IndexByte(s.Raw, '\n') >= 0, "no EVN-2": m.Get("EVN-2").Absent(), "no PV1-19": m.Get("PV1-19").Absent() && m.Header.Trigger == "A03",
			"swapped": m.Get("PV1-36").Text() == "19" && m.Get("PV1-37").Text() == "1", "words": strings.Contains(m.Get("PV1-36").Text(), "ROUTINE"),
			"offset": strings.Contains(m.Get("MSH-7").Text(), "+"), "dead in words": m.Get("PV1-36").Text() == "Dead", "PD1-4": !m.Get("PD1-4").Absent(),
			"died": m.Get("PID-30").Text() == "Y", "no abode": m.Get("PID-11.5").Text() == "ZZ99 3VZ",
			"day only": len(m.Get("PV1-45").Text()) == 8, "late": late(m), "latin1": bytes.Contains(s.Raw, []byte{0xdc}) && !bytes.Contains(s.Raw, []byte{0xc3, 0x9c}),
		} {
			if is {
				seen[what]++
			}
		}
		for id := range m.Get("PID-3").Repetitions() {
			if n := id.Component(1).Text(); id.Component(4).Text() == "NHS" && !strings.HasPrefix(n, "999") {
				t.Fatalf("an NHS number that may be somebody's: %s", n)
			}
		}
	}
	for _, want := range []string{
		"trigger A01", "trigger A02", "trigger A03", "trigger A05", "trigger A08", "trigger A11", "trigger A13", "trigger A21", "trigger A22", "trigger A28",
		"trigger A31", "trigger A40", "version 2.3", "processing T", "same bytes again", "control id reused", "line feeds", "no EVN-2", "no PV1-19", "swapped", "words",
		"offset", "dead in words", "PD1-4", "died", "no abode", "day only", "late", "latin1",
	} {
		if seen[want] == 0 {
			t.Errorf("a week of 600 beds without: %s", want)
		}
	}
	if n := seen["trigger A03"]; n < 300 || n > 1400 {
		t.Errorf("%d discharges in a week of 600 beds", n)
	}
}

// late tells whether a discharge was recorded half a day after it.
func late(m *hl7.Message) bool {
	recorded, err1 := hl7.ParseTime(m.Get("EVN-2").Text(), discharge.London())
	left, err2 := hl7.ParseTime(m.Get("PV1-45").Text(), discharge.London())
	return err1 == nil && err2 == nil && m.Header.Trigger == "A03" && recorded.Sub(left.Time) > 12*time.Hour
}

func TestAWeekInAnyOrderGivesTheSameOutcomes(t *testing.T) {
	week := Week(options(24, 7))
	var want []string
	for order := range uint64(3) {
		shuffled := slices.Clone(week)
		if order > 0 {
			rand.New(rand.NewPCG(order, 1)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		}
		got := outcomes(t, shuffled)
		if order == 0 {
			want = got
			if len(want) < 20 {
				t.Fatalf("only %d spells in a week of 24 beds: %v", len(want), want)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("order %d ends with\n%s\nas sent it ends with\n%s", order, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// outcomes sends the messages to a hub of its own and returns every spell that it publishes with what the rules decide about it.
func outcomes(t *testing.T, week []Sent) []string {
	t.Helper()
	place, err := places.Embedded("thurrock")
	if err != nil {
		t.Fatal(err)
	}
	url := kittest.Database(t, migrations.FS)
	db := kittest.Open(t, url)
	cfg := dischargehub.Config{Config: kittest.Config(t, "discharge-hub", url, kittest.NATS(t), kittest.Issuer(t)), MLLPAddr: kittest.FreeAddr(t),
		PickupAddr: kittest.FreeAddr(t), AssessmentAddr: kittest.FreeAddr(t)}
	kittest.Start(t, func(ctx context.Context) error { return dischargehub.Run(ctx, cfg) })
	var conn net.Conn
	kittest.Eventually(t, "the hub takes messages", func() bool { conn, err = net.Dial("tcp", cfg.MLLPAddr); return err == nil })
	defer conn.Close()
	in := mllp.NewReader(conn, 0)
	for _, s := range week {
		if _, err := conn.Write(mllp.Frame(s.Raw)); err != nil {
			t.Fatal(err)
		}
		raw, err := in.Next()
		if err != nil {
			t.Fatal(err)
		}
		if ack, err := hl7.Parse(raw); err != nil || ack.Get("MSA-1").Text() != "AA" {
			t.Fatalf("answered %q to %q", raw, s.Raw)
		}
	}
	kittest.Eventually(t, "all messages are interpreted", func() bool { return pending(t, db) == 0 })
	rows, err := db.Pool.Query(t.Context(), `SELECT data FROM outbox ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			t.Fatal(err)
		}
		var s dischargev1.Spell
		if err := proto.Unmarshal(data, &s); err != nil {
			t.Fatal(err)
		}
		o, err := outcome.DecideProto(place, &s)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%x %+v", data, o))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func pending(t *testing.T, db *pg.DB) (n int) {
	t.Helper()
	if err := db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM inbound_pending`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
