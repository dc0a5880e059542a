package places

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/homeward-care/homeward/services/community-pickup/pickup"
)

// loader gathers the place and everything that is wrong with it.
type loader struct {
	folder     fs.FS
	place      pickup.Place
	policyFile string
	problems   []error
}

// wrong notes a problem; where names file and line, or file and row.
func (l *loader) wrong(where, format string, args ...any) {
	l.problems = append(l.problems, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...)))
}

func (l *loader) err() error {
	return errors.Join(l.problems...)
}

// line is one row of a CSV file, by the names of its columns.
type line struct {
	l      *loader
	where  string
	fields map[string]string
}

// read reads a CSV file whose first line names exactly these columns, in any order.
func (l *loader) read(file string, columns ...string) []line {
	raw, err := fs.ReadFile(l.folder, file)
	if err != nil {
		l.wrong(file, "can't be read (%v): add the file", err)
		return nil
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\ufeff"))))
	r.FieldsPerRecord = -1
	r.TrimLeadingSpace = true
	var header []string
	var lines []line
	for {
		record, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			l.wrong(file, "%v: correct the quotes or commas of that line", err)
			return nil
		}
		number, _ := r.FieldPos(0)
		where := fmt.Sprintf("%s line %d", file, number)
		if header == nil {
			header = record
			for _, column := range columns {
				if !slices.Contains(header, column) {
					l.wrong(where, "the column %q is missing: the first line must name %s", column, strings.Join(columns, ","))
					return nil
				}
			}
			continue
		}
		if len(record) != len(header) {
			l.wrong(where, "%d fields instead of %d: put a text with a comma in quotes, and leave no field out", len(record), len(header))
			continue
		}
		fields := map[string]string{}
		for i, name := range header {
			fields[name] = strings.TrimSpace(record[i])
		}
		lines = append(lines, line{l, where, fields})
	}
	if len(lines) == 0 {
		l.wrong(file, "holds no rows: add the rows of this place")
	}
	return lines
}

// need is a field that must not be empty.
func (n line) need(column string) string {
	if n.fields[column] == "" {
		n.l.wrong(n.where, "%s is empty: fill it in", column)
	}
	return n.fields[column]
}

// date is a field that holds a date, or is empty where that is allowed.
func (l *loader) date(where, column, text string, mayBeEmpty bool) pickup.Date {
	if text == "" && mayBeEmpty {
		return ""
	}
	d, err := pickup.ParseDate(text)
	if err != nil {
		l.wrong(where, "%s: %v", column, err)
	}
	return d
}

func (l *loader) span(where, from, to string) pickup.Span {
	s := pickup.Span{From: l.date(where, "valid_from", from, false), To: l.date(where, "valid_to", to, true)}
	if s.To != "" && s.To < s.From {
		l.wrong(where, "valid_to %s is before valid_from %s: correct one of them", s.To, s.From)
	}
	return s
}

func (n line) span() pickup.Span {
	return n.l.span(n.where, n.fields["valid_from"], n.fields["valid_to"])
}

// overlap refuses a row whose span meets that of an earlier row of the same code.
func overlap[R any](l *loader, where, what string, rows []R, span func(R) pickup.Span, next pickup.Span) {
	for _, row := range rows {
		s := span(row)
		if (next.To == "" || s.From <= next.To) && (s.To == "" || next.From <= s.To) {
			l.wrong(where, "%s has another row from %s to %s that overlaps: end the earlier row (valid_to) the day before the later one begins",
				what, s.From, orOpen(s.To))
		}
	}
}

func orOpen(d pickup.Date) string {
	if d == "" {
		return "further notice"
	}
	return string(d)
}

var (
	odsCode  = regexp.MustCompile(`^[A-Z][A-Z0-9]{2,7}$`)
	postcode = regexp.MustCompile(`^[A-Z]{1,2}[0-9][A-Z0-9]?( [0-9])?$`)
)

func (l *loader) teams() {
	l.place.Teams = map[string]pickup.Team{}
	for _, n := range l.read("teams.csv", "team", "name") {
		key := n.need("team")
		if _, twice := l.place.Teams[key]; twice {
			l.wrong(n.where, "team %s is there twice: keep one row", key)
		}
		if key == pickup.AskHub {
			l.wrong(n.where, "%q is the word for an undecided postcode: give the team another key", key)
		}
		l.place.Teams[key] = pickup.Team{Key: key, Name: n.need("name")}
	}
	if _, ok := l.place.Teams[l.place.Hub]; !ok {
		l.wrong("place.json", "hub %q is not in teams.csv: add it there, or name a team that is", l.place.Hub)
	}
}

func (l *loader) knownTeam(where, key string) {
	if _, ok := l.place.Teams[key]; !ok {
		l.wrong(where, "team %q is not in teams.csv: add it there, or correct the key", key)
	}
}

func (l *loader) councils() {
	l.place.Councils = map[string]pickup.Council{}
	for _, n := range l.read("councils.csv", "council", "name") {
		key := n.need("council")
		if _, twice := l.place.Councils[key]; twice {
			l.wrong(n.where, "council %s is there twice: keep one row", key)
		}
		l.place.Councils[key] = pickup.Council{Key: key, Name: n.need("name")}
	}
	if _, ok := l.place.Councils[l.place.Council]; !ok {
		l.wrong("place.json", "council %q is not in councils.csv: add it there, or correct the key", l.place.Council)
	}
}

func (l *loader) pcns() {
	l.place.PCNs = map[string][]pickup.PCN{}
	for _, n := range l.read("pcns.csv", "pcn", "name", "team", "valid_from", "valid_to") {
		row := pickup.PCN{Span: n.span(), Code: n.need("pcn"), Name: n.need("name"), Team: n.need("team")}
		l.knownTeam(n.where, row.Team)
		overlap(l, n.where, "network "+row.Code, l.place.PCNs[row.Code], func(r pickup.PCN) pickup.Span { return r.Span }, row.Span)
		l.place.PCNs[row.Code] = insert(l.place.PCNs[row.Code], row, func(r pickup.PCN) pickup.Date { return r.From })
	}
}

func (l *loader) notPractices() {
	l.place.NotPractices = map[string]string{}
	for _, n := range l.read("not_practices.csv", "code", "why") {
		l.place.NotPractices[n.need("code")] = n.need("why")
	}
}

func (l *loader) practices() {
	l.place.Practices = map[string][]pickup.Practice{}
	for _, n := range l.read("practices.csv", "practice", "name", "pcn", "valid_from", "valid_to") {
		row := pickup.Practice{Span: n.span(), Code: n.need("practice"), Name: n.need("name"), PCN: n.need("pcn")}
		if !odsCode.MatchString(row.Code) {
			l.wrong(n.where, "practice %q is not an ODS code: write capital letters and digits, for instance F81155", row.Code)
		}
		if why, not := l.place.NotPractices[row.Code]; not {
			l.wrong(n.where, "%s is not a GP practice (%s): remove the row, or the one in not_practices.csv", row.Code, why)
		}
		if _, ok := l.place.PCNs[row.PCN]; !ok {
			l.wrong(n.where, "network %q is not in pcns.csv: add it there, or correct the code", row.PCN)
		}
		overlap(l, n.where, "practice "+row.Code, l.place.Practices[row.Code], func(r pickup.Practice) pickup.Span { return r.Span }, row.Span)
		l.place.Practices[row.Code] = insert(l.place.Practices[row.Code], row, func(r pickup.Practice) pickup.Date { return r.From })
	}
}

func (l *loader) postcodes() {
	l.place.Postcodes = map[string][]pickup.Postcode{}
	for _, n := range l.read("postcodes.csv", "postcode", "council", "team", "valid_from", "valid_to") {
		row := pickup.Postcode{Span: n.span(), Code: n.need("postcode"), Council: n.need("council"), Team: n.fields["team"]}
		if !postcode.MatchString(row.Code) {
			l.wrong(n.where, "postcode %q is neither a district (RM17) nor a sector (RM17 5): correct it", row.Code)
		}
		if _, ok := l.place.Councils[row.Council]; !ok && row.Council != pickup.AskHub {
			l.wrong(n.where, "council %q is not in councils.csv: add it there, correct the key, or write hub where the postcode can't tell", row.Council)
		}
		if row.Team != "" && row.Team != pickup.AskHub {
			l.knownTeam(n.where, row.Team)
		}
		if row.Council == l.place.Council && row.Team == "" {
			l.wrong(n.where, "%s is ours but has no team: name one, or write hub where more than one works there", row.Code)
		}
		overlap(l, n.where, "postcode "+row.Code, l.place.Postcodes[row.Code], func(r pickup.Postcode) pickup.Span { return r.Span }, row.Span)
		l.place.Postcodes[row.Code] = insert(l.place.Postcodes[row.Code], row, func(r pickup.Postcode) pickup.Date { return r.From })
	}
}

func (l *loader) holidays() {
	l.place.Holidays = map[pickup.Date]string{}
	for _, n := range l.read("holidays.csv", "date", "name") {
		day := l.date(n.where, "date", n.fields["date"], false)
		if _, twice := l.place.Holidays[day]; twice && day != "" {
			l.wrong(n.where, "%s is there twice: keep one row", day)
		}
		if day > l.place.HolidaysThrough {
			l.wrong(n.where, "%s is after holidays_through in place.json: move that to the end of the last year that is complete", day)
		}
		l.place.Holidays[day] = n.need("name")
	}
}

// insert keeps rows in the order of their first days.
func insert[R any](rows []R, row R, from func(R) pickup.Date) []R {
	at, _ := slices.BinarySearchFunc(rows, from(row), func(r R, d pickup.Date) int { return strings.Compare(string(from(r)), string(d)) })
	return slices.Insert(rows, at, row)
}

// readJSON reads a JSON file that holds no other names than the target's.
func (l *loader) readJSON(file string, target any) bool {
	raw, err := fs.ReadFile(l.folder, file)
	if err != nil {
		l.wrong(file, "can't be read (%v): add the file", err)
		return false
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(target); err != nil {
		number := 1 + bytes.Count(raw[:min(int(d.InputOffset()), len(raw))], []byte("\n"))
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			number = 1 + bytes.Count(raw[:min(int(syntax.Offset), len(raw))], []byte("\n"))
		}
		l.wrong(fmt.Sprintf("%s line %d", file, number), "%v: correct it", err)
		return false
	}
	return true
}

func (l *loader) settings(policyFile string) {
	var s struct {
		Key              string `json:"key"`
		Name             string `json:"name"`
		Council          string `json:"council"`
		Hub              string `json:"hub"`
		Zone             string `json:"zone"`
		AssessmentRecord string `json:"assessment_record"`
		DirectoryVersion string `json:"directory_version"`
		PolicyFile       string `json:"policy_file"`
		HolidaysThrough  string `json:"holidays_through"`
	}
	const file = "place.json"
	if !l.readJSON(file, &s) {
		return
	}
	for name, value := range map[string]string{"key": s.Key, "name": s.Name, "directory_version": s.DirectoryVersion, "policy_file": s.PolicyFile} {
		if value == "" {
			l.wrong(file, "%s is empty: fill it in", name)
		}
	}
	zone, err := time.LoadLocation(s.Zone)
	if err != nil || s.Zone == "" {
		l.wrong(file, "zone %q is unknown: write a name such as Europe/London", s.Zone)
		zone = time.UTC
	}
	if s.AssessmentRecord != "homeward" && s.AssessmentRecord != "case-system" {
		l.wrong(file, "assessment_record %q is unknown: write homeward or case-system", s.AssessmentRecord)
	}
	l.place = pickup.Place{
		Key: s.Key, Name: s.Name, Council: s.Council, Hub: s.Hub, Zone: zone, AssessmentRecord: s.AssessmentRecord,
		DirectoryVersion: s.DirectoryVersion, HolidaysThrough: l.date(file, "holidays_through", s.HolidaysThrough, false),
	}
	l.policyFile = s.PolicyFile
	if policyFile != "" {
		l.policyFile = policyFile
	}
}
