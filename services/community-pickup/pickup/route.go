package pickup

import "fmt"

// Rules by which a route was found.
const (
	RoutePractice       = "practice"
	RoutePracticeClosed = "practice-closed"
	RouteDestination    = "destination-postcode"
	RouteHome           = "home-postcode"
	RouteHub            = "hub"
	// RouteAssigned is the hub's own decision.
	RouteAssigned = "assigned"
)

// Route says how the team was found.
type Route struct {
	Rule  string `json:"rule"`
	Input string `json:"input,omitempty"` // the practice code or postcode sector that decided
	PCN   string `json:"pcn,omitempty"`
	// DirectoryVersion is the version of the directory that was asked.
	DirectoryVersion string `json:"directory_version"`
	Text             string `json:"text"`
}

// whichTeam finds the team: by the practice as the directory stood on the day of discharge, a closed practice by its last
// network; then by the sector of the destination; then by the sector of the home; then the hub. A sector in which more than one
// team works is the hub's too: the next rule would only guess.
//
// Source: design §5, "Which team?"; a dormant practice still has patients and counts as any other.
func whichTeam(p Place, s Spell, on Date) (string, Route) {
	practice := practiceCode(p, s)
	if row, closed, ok := p.practiceOn(practice, on); ok {
		if pcn, ok := p.pcnOn(row.PCN, on); ok {
			route := Route{
				Rule: RoutePractice, Input: practice, PCN: pcn.Code, DirectoryVersion: p.DirectoryVersion,
				Text: fmt.Sprintf("%s (%s) belongs to %s (%s), whose team is %s.", row.Name, row.Code, pcn.Name, pcn.Code, p.teamName(pcn.Team)),
			}
			if closed {
				route.Rule = RoutePracticeClosed
				route.Text = fmt.Sprintf("%s (%s) closed on %s; its last network was %s (%s), whose team is %s.",
					row.Name, row.Code, row.To, pcn.Name, pcn.Code, p.teamName(pcn.Team))
			}
			return pcn.Team, route
		}
	}
	for _, try := range []struct{ rule, sector, word string }{
		{RouteDestination, code(s.DestSector), "discharge address"},
		{RouteHome, homeSector(s), "home"},
	} {
		row, ok := p.postcodeOn(try.sector, on)
		switch {
		case !ok || row.Team == "":
			continue
		case row.Team == AskHub:
			return toHub(p, try.sector, fmt.Sprintf("In %s, the postcode sector of the %s, more than one team works: the hub decides.", try.sector, try.word))
		}
		return row.Team, Route{
			Rule: try.rule, Input: try.sector, DirectoryVersion: p.DirectoryVersion,
			Text: fmt.Sprintf("%s, the postcode sector of the %s, belongs to %s.", try.sector, try.word, p.teamName(row.Team)),
		}
	}
	return toHub(p, "", "Neither practice nor postcode points to a team: the hub decides.")
}

func toHub(p Place, input, text string) (string, Route) {
	return p.Hub, Route{Rule: RouteHub, Input: input, DirectoryVersion: p.DirectoryVersion, Text: text}
}

// practiceFlags say what is odd about the practice as told.
func practiceFlags(p Place, s Spell, on Date) []string {
	told := code(s.Practice)
	if _, not := p.NotPractices[told]; not {
		return []string{FlagPracticeNotGP}
	}
	_, closed, ok := p.practiceOn(told, on)
	switch {
	case closed:
		return []string{FlagPracticeClosed}
	case told != "" && !ok:
		return []string{FlagPracticeNotInDirectory}
	}
	return nil
}
