package hospital

import "strings"

// Answer is what a hospital's receiver reads in an ORU^R01 about a handover.
type Answer struct {
	ControlID string // MSH-10
	Visit     string // PV1-19
	// The results, OBX-5 by OBX-3: how far the handover is, what to ask by, whether a pick-up is due, and whose it is.
	Word, Reference, PickUp, Team string
}

// ReadAnswer reads an answer to a ward; ok is false of anything else.
func ReadAnswer(raw []byte) (a Answer, ok bool) {
	for line := range strings.SplitSeq(string(raw), "\r") {
		f := strings.Split(line, "|")
		field := func(n int) string {
			if n >= len(f) {
				return ""
			}
			text, _, _ := strings.Cut(f[n], "^")
			return text
		}
		switch field(0) {
		case "MSH": // MSH-1 is the separator itself
			ok, a.ControlID = len(f) > 9 && f[8] == "ORU^R01", field(9)
		case "PV1":
			a.Visit = field(19)
		case "OBX":
			switch field(3) {
			case "HANDOVER-WORD":
				a.Word = field(5)
			case "HANDOVER-REFERENCE":
				a.Reference = field(5)
			case "PICK-UP":
				a.PickUp = field(5)
			case "TEAM":
				a.Team = field(5)
			}
		}
	}
	return a, ok && a.ControlID != "" && a.Word != ""
}

// Acknowledge writes what the receiver says to it: AA, AE or AR.
func (a Answer) Acknowledge(code string) []byte {
	return []byte(`MSH|^~\&|PAS|RAJ|HOMEWARD|HOMEWARD|20260101000000||ACK^R01|A-` + a.ControlID + "|P|2.4\rMSA|" + code + "|" + a.ControlID + "\r")
}
