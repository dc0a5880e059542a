package oracle

import "strings"

// Hub is the team that decides what the rules can't.
const Hub = "HUB"

// practices is the team of each GP practice by its primary care network; the last four are closed, and count by their last network.
//
// Source: NHS ODS, ePCN of January 2023 and epraccur of December 2023; the networks are ASOP U28765, Grays U68127, Stanford-le-Hope U98530,
// Tilbury and Chadwell U06243.
var practices = map[string]string{
	"F81010": "CLS-ASOP", "F81134": "CLS-ASOP", "F81197": "CLS-ASOP", "F81632": "CLS-ASOP", "F81669": "CLS-ASOP", "Y00033": "CLS-ASOP",
	"F81113": "CLS-GRAYS", "F81155": "CLS-GRAYS", "F81192": "CLS-GRAYS", "F81211": "CLS-GRAYS", "F81218": "CLS-GRAYS", "F81219": "CLS-GRAYS",
	"F81623": "CLS-GRAYS", "F81641": "CLS-GRAYS", "Y00999": "CLS-GRAYS", "Y02807": "CLS-GRAYS",
	"F81088": "CLS-SLH", "F81137": "CLS-SLH", "F81153": "CLS-SLH", "F81177": "CLS-SLH", "F81198": "CLS-SLH", "F81697": "CLS-SLH",
	"F81082": "CLS-TC", "F81110": "CLS-TC", "F81206": "CLS-TC", "F81652": "CLS-TC", "F81708": "CLS-TC",
	"F81084": "CLS-TC", "F81698": "CLS-TC", "F81644": "CLS-SLH", "F81691": "CLS-TC",
}

// areas is the team of each postcode district and sector of the borough; the hub's where several teams work. A sector outweighs its district.
// RM14 3 is the one that lies in two councils.
var areas = map[string]string{
	"RM15": "CLS-ASOP", "RM16": Hub, "RM16 2": "CLS-GRAYS", "RM16 3": "CLS-SLH", "RM16 4": "CLS-TC", "RM16 6": "CLS-GRAYS", "RM17": "CLS-GRAYS",
	"RM18": "CLS-TC", "RM19": "CLS-ASOP", "RM20": Hub, "SS17": "CLS-SLH", twoCouncils: Hub,
}

const twoCouncils = "RM14 3"

// noFixedAbode is the pseudo postcode of people without a fixed abode (NHS Data Dictionary).
const noFixedAbode = "ZZ99 3VZ"

// sectorOf is a postcode without its last two letters; nothing for the pseudo postcodes, which are nowhere.
func sectorOf(postcode string) string {
	if len(postcode) < 6 || strings.HasPrefix(postcode, "ZZ99") {
		return ""
	}
	return postcode[:len(postcode)-2]
}

func areaOf(sector string) (team string, ours bool) {
	if team, ours = areas[sector]; !ours {
		district, _, _ := strings.Cut(sector, " ")
		team, ours = areas[district]
	}
	return team, ours
}

// residence says where the home postcode puts a person: "ours", "elsewhere" or "unclear", which is the hub's to decide. The practice is asked
// where there is no postcode, and can otherwise only contradict it.
func residence(postcode, practice string) string {
	home := sectorOf(postcode)
	_, homeOurs := areaOf(home)
	_, practiceOurs := practices[practice]
	switch {
	case postcode == noFixedAbode, home == twoCouncils:
		return "unclear"
	case home == "" && practiceOurs, homeOurs:
		return "ours"
	case home == "", practiceOurs:
		return "unclear"
	}
	return "elsewhere"
}

// teamOf finds the team: by the practice, else by where the person goes, else by the home, else the hub.
func teamOf(practice, goingTo, postcode string) string {
	if team, ok := practices[practice]; ok {
		return team
	}
	for _, place := range []string{goingTo, postcode} {
		if team, ok := areaOf(sectorOf(place)); ok {
			return team
		}
	}
	return Hub
}
