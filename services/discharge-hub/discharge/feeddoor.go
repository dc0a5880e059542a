package discharge

import (
	"slices"
	"strings"
	"time"
)

// SilenceLimit is how long a feed may send nothing between two times of the day on its clock; outside of them it may be silent.
type SilenceLimit struct {
	After time.Duration
	// From and To are times since midnight; a To before From is on the next day. Where they are equal the limit holds always.
	From, To time.Duration
}

// Answers is where and as what a feed's hospital takes the ward's answers.
type Answers struct {
	Addr string // host:port of an MLLP listener
	TLS  bool
	// ServerName is the name in the listener's certificate, where it is not Addr's host.
	ServerName string
	// Application and Facility are MSH-5 and MSH-6.
	Application, Facility string
}

// doorFile is the part of a feed's file that is about its connections.
type doorFile struct {
	Certificates []string     `json:"certificates,omitempty"`
	Silent       *silentFile  `json:"silent,omitempty"`
	Answers      *answersFile `json:"answers,omitempty"`
}

// silentFile is a SilenceLimit as it is written.
type silentFile struct {
	After string `json:"after"`
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
}

// answersFile is Answers as it is written.
type answersFile struct {
	Addr        string `json:"addr"`
	TLS         bool   `json:"tls,omitempty"`
	ServerName  string `json:"server_name,omitempty"`
	Application string `json:"application"`
	Facility    string `json:"facility"`
}

// door reads what a feed's file says about its connections.
func (c *feedCheck) door(feed *Feed, in doorFile) {
	mllp := feed.Door == DoorMLLP
	c.that(mllp || len(in.Certificates) == 0 && in.Answers == nil, "certificates", "and answers are for the mllp door only")
	c.that(!slices.Contains(in.Certificates, ""), "certificates", "must be names (subject CN or DNS name) in client certificates")
	feed.Certificates = in.Certificates
	if s := in.Silent; s != nil {
		after, err := time.ParseDuration(s.After)
		c.that(err == nil && after >= time.Minute, "silent.after", "must be a time such as 45m or 4h, at least 1m")
		feed.Silence = &SilenceLimit{After: after, From: c.clock("silent.from", s.From), To: c.clock("silent.to", s.To)}
	}
	if a := in.Answers; a != nil {
		colon := strings.LastIndexByte(a.Addr, ':')
		c.that(colon > 0 && colon < len(a.Addr)-1, "answers.addr", "must be the host:port of an MLLP listener")
		c.that(a.Application != "", "answers.application", "must be what the receiver expects in MSH-5")
		c.that(a.Facility != "", "answers.facility", "must be what the receiver expects in MSH-6")
		c.that(a.TLS || a.ServerName == "", "answers.server_name", "is for tls only")
		feed.Answers = &Answers{Addr: a.Addr, TLS: a.TLS, ServerName: a.ServerName, Application: a.Application, Facility: a.Facility}
	}
}

// clock reads a time of the day as `07:30`; nothing is midnight.
func (c *feedCheck) clock(field, text string) time.Duration {
	if text == "" {
		return 0
	}
	at, err := time.Parse("15:04", text)
	c.that(err == nil, field, "must be a time of the day such as 07:30")
	return time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
}

// MaySend tells whether whoever shows a certificate of these names (none without a certificate) may send for the feed.
func (f Feed) MaySend(names []string) bool {
	if len(f.Certificates) == 0 {
		return true
	}
	return slices.ContainsFunc(names, func(name string) bool {
		return slices.ContainsFunc(f.Certificates, func(allowed string) bool { return strings.EqualFold(name, allowed) })
	})
}
