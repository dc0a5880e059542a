package places

import (
	"fmt"
	"slices"

	"github.com/homeward-care/homeward/services/community-pickup/pickup"
)

type policyFile struct {
	Version    string         `json:"version"`
	Thresholds []thresholdRow `json:"thresholds"`
	Rows       []policyRow    `json:"rows"`
}

type policyRow struct {
	Code      string             `json:"code"`
	ValidFrom string             `json:"valid_from"`
	ValidTo   string             `json:"valid_to"`
	When      []pickup.Condition `json:"when"`
	Then      pickup.Verdict     `json:"then"`
	Text      string             `json:"text"`
}

type thresholdRow struct {
	ValidFrom                 string `json:"valid_from"`
	ValidTo                   string `json:"valid_to"`
	PickUpDays                int    `json:"pick_up_days"`
	FirstContactWorkingDays   int    `json:"first_contact_working_days"`
	UntakenDutyWorkingDays    int    `json:"untaken_duty_working_days"`
	UntakenManagerWorkingDays int    `json:"untaken_manager_working_days"`
	ReminderDay               int    `json:"reminder_day"`
	AtRiskDay                 int    `json:"at_risk_day"`
	ReablementWarningDay      int    `json:"reablement_warning_day"`
	WatchDays                 int    `json:"watch_days"`
	OtherHospitalReviewDays   int    `json:"other_hospital_review_days"`
}

func (l *loader) policy() {
	var f policyFile
	if l.policyFile == "" || !l.readJSON(l.policyFile, &f) {
		return
	}
	if f.Version == "" {
		l.wrong(l.policyFile, "version is empty: name it, and raise it with every change")
	}
	l.place.PolicyVersion = f.Version
	l.thresholds(f.Thresholds)
	for i, r := range f.Rows {
		l.policyRow(fmt.Sprintf("%s row %d (%s)", l.policyFile, i+1, r.Code), r)
	}
	if len(f.Rows) == 0 {
		l.wrong(l.policyFile, "rows is empty: add the rows of the policy, in the order in which they are tried")
	}
}

func (l *loader) policyRow(where string, r policyRow) {
	if r.Code == "" || r.Text == "" {
		l.wrong(where, "code and text are needed: they are the reason that people read")
	}
	if len(r.When) == 0 {
		l.wrong(where, "when is empty, so that the row decides everything: name at least one of %v", pickup.Conditions())
	}
	for _, c := range r.When {
		if !slices.Contains(pickup.Conditions(), c) {
			l.wrong(where, "the condition %q is unknown: use some of %v", c, pickup.Conditions())
		}
	}
	if !slices.Contains(pickup.Verdicts(), r.Then) {
		l.wrong(where, "then %q is unknown: use one of %v", r.Then, pickup.Verdicts())
	}
	l.place.Policy = append(l.place.Policy, pickup.PolicyRow{
		Span: l.span(where, r.ValidFrom, r.ValidTo), Code: r.Code, When: r.When, Then: r.Then, Text: r.Text,
	})
}

func (l *loader) thresholds(rows []thresholdRow) {
	if len(rows) == 0 {
		l.wrong(l.policyFile, "thresholds is empty: add a row with the numbers of the clock")
	}
	for i, r := range rows {
		where := fmt.Sprintf("%s thresholds %d", l.policyFile, i+1)
		t := pickup.Thresholds{
			Span:       l.span(where, r.ValidFrom, r.ValidTo),
			PickUpDays: r.PickUpDays, FirstContactWorkingDays: r.FirstContactWorkingDays,
			UntakenDutyWorkingDays: r.UntakenDutyWorkingDays, UntakenManagerWorkingDays: r.UntakenManagerWorkingDays,
			ReminderDay: r.ReminderDay, AtRiskDay: r.AtRiskDay, ReablementWarningDay: r.ReablementWarningDay,
			WatchDays: r.WatchDays, OtherHospitalReviewDays: r.OtherHospitalReviewDays,
		}
		for name, n := range map[string]int{
			"pick_up_days": t.PickUpDays, "first_contact_working_days": t.FirstContactWorkingDays,
			"untaken_duty_working_days": t.UntakenDutyWorkingDays, "untaken_manager_working_days": t.UntakenManagerWorkingDays,
			"reminder_day": t.ReminderDay, "at_risk_day": t.AtRiskDay, "reablement_warning_day": t.ReablementWarningDay,
			"watch_days": t.WatchDays, "other_hospital_review_days": t.OtherHospitalReviewDays,
		} {
			if n < 1 {
				l.wrong(where, "%s is %d: write a number of days from 1", name, n)
			}
		}
		overlap(l, where, "the place", l.place.Thresholds, func(t pickup.Thresholds) pickup.Span { return t.Span }, t.Span)
		l.place.Thresholds = insert(l.place.Thresholds, t, func(t pickup.Thresholds) pickup.Date { return t.From })
	}
}
