package assessment

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// QuestionSet is one version of the questions of the light-touch assessment. It is data: an assessment keeps the version with which it was
// requested, and a version never changes once it was used.
type QuestionSet struct {
	ID       string    `json:"id"` // for instance `safe-discharge-1`
	Sections []Section `json:"sections"`
	// Conditions are the codes of what an assessor can make a condition.
	Conditions []string `json:"conditions"`
	// Owners are the roles and team keys that can see to a condition.
	Owners []string `json:"owners"`
}

// Section groups questions as the assessor asks them.
type Section struct {
	Code      string     `json:"code"`
	Questions []Question `json:"questions"`
}

// Question has coded answers only; there is no free text to leak.
type Question struct {
	Code     string   `json:"code"`
	Text     string   `json:"text"`
	Required bool     `json:"required"`
	Answers  []Answer `json:"answers"`
}

// Answer may limit the decision.
type Answer struct {
	Code string `json:"code"`
	Text string `json:"text"`
	// Needs names the condition without which leaving is not safe after this answer.
	Needs string `json:"needs,omitempty"`
	// NotSafe rules out `safe` and `safe-with-conditions`.
	NotSafe bool `json:"not_safe,omitempty"`
}

// ParseQuestionSet reads a question set and checks that it is whole: codes without repeats, answers to every question, and conditions
// that exist.
func ParseQuestionSet(data []byte) (QuestionSet, error) {
	var s QuestionSet
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("question set: %w", err)
	}
	if s.ID == "" || len(s.questions()) == 0 || len(s.Owners) == 0 {
		return s, fmt.Errorf("question set %q: it needs an id, questions and owners", s.ID)
	}
	if c, ok := repeated(s.Conditions); ok {
		return s, fmt.Errorf("question set %s: condition %q is listed twice", s.ID, c)
	}
	var codes []string
	for _, q := range s.questions() {
		codes = append(codes, q.Code)
		if len(q.Answers) < 2 {
			return s, fmt.Errorf("question set %s: question %q needs at least two answers", s.ID, q.Code)
		}
		if c, ok := repeated(q.answerCodes()); ok {
			return s, fmt.Errorf("question set %s: question %q lists the answer %q twice", s.ID, q.Code, c)
		}
		for _, a := range q.Answers {
			if a.Needs != "" && !slices.Contains(s.Conditions, a.Needs) {
				return s, fmt.Errorf("question set %s: the answer %q to question %q needs the condition %q, which is not listed", s.ID, a.Code, q.Code, a.Needs)
			}
		}
	}
	if c, ok := repeated(codes); ok {
		return s, fmt.Errorf("question set %s: question %q is listed twice", s.ID, c)
	}
	return s, nil
}

func repeated(codes []string) (string, bool) {
	seen := map[string]bool{}
	for _, c := range codes {
		if seen[c] {
			return c, true
		}
		seen[c] = true
	}
	return "", false
}

func (s QuestionSet) questions() []Question {
	var all []Question
	for _, section := range s.Sections {
		all = append(all, section.Questions...)
	}
	return all
}

func (s QuestionSet) question(code string) (Question, bool) {
	for _, q := range s.questions() {
		if q.Code == code {
			return q, true
		}
	}
	return Question{}, false
}

func (q Question) answer(code string) (Answer, bool) {
	for _, a := range q.Answers {
		if a.Code == code {
			return a, true
		}
	}
	return Answer{}, false
}

func (q Question) answerCodes() []string {
	codes := make([]string, len(q.Answers))
	for i, a := range q.Answers {
		codes[i] = a.Code
	}
	return codes
}
