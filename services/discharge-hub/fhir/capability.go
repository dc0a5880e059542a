package fhir

import (
	_ "embed"
	"slices"
)

// OpenAPI describes the door's HTTP for those who generate clients: openapi.yaml.
//
//go:embed openapi.yaml
var OpenAPI []byte

// Server is what a FHIR server offers, collected interaction by interaction.
type Server struct {
	Base, TokenURL string
	resources      []*offer
	operations     []object
}

type offer struct {
	typ                           string
	interactions                  []string
	conditionalUpdate, deliveries bool
}

// Offer adds an interaction with a type; conditional says that the resource is found by its identifier.
func (s *Server) Offer(typ, interaction string, conditional bool) {
	if interaction == "process-message" {
		s.operations = append(s.operations, object{"name": interaction, "definition": "http://hl7.org/fhir/OperationDefinition/MessageHeader-process-message"})
	}
	if typ == "" {
		return
	}
	i := slices.IndexFunc(s.resources, func(o *offer) bool { return o.typ == typ })
	if i < 0 {
		i = len(s.resources)
		s.resources = append(s.resources, &offer{typ: typ})
	}
	o := s.resources[i]
	o.conditionalUpdate = o.conditionalUpdate || conditional
	switch {
	case interaction == "deliveries":
		o.deliveries = true
	case !slices.Contains(o.interactions, interaction):
		o.interactions = append(o.interactions, interaction)
	}
}

// CapabilityStatement writes it.
func (s *Server) CapabilityStatement() any {
	resources := []object{}
	for _, o := range s.resources {
		interactions := []object{}
		for _, i := range o.interactions {
			interactions = append(interactions, object{"code": i})
		}
		r := object{"type": o.typ, "interaction": interactions, "versioning": "versioned", "updateCreate": false,
			"conditionalCreate": slices.Contains(o.interactions, "create"), "conditionalUpdate": o.conditionalUpdate}
		if slices.Contains(o.interactions, "search-type") {
			params := []object{}
			for _, p := range searchParams[o.typ] {
				param := object{"name": p.name, "type": p.kind}
				if p.documentation != "" {
					param["documentation"] = p.documentation
				}
				params = append(params, param)
			}
			r["searchParam"] = params
		}
		if o.deliveries {
			r["operation"] = []object{{"name": "deliveries", "definition": Base + "/OperationDefinition/Task-deliveries",
				"documentation": "every attempt to post the Task to your webhook"}}
		}
		resources = append(resources, r)
	}
	rest := object{
		"mode": "server", "resource": resources,
		"security": object{"cors": false, "description": "OAuth 2.0 client credentials with a signed JWT (RFC 7523), at " + s.TokenURL},
	}
	if len(s.operations) > 0 {
		rest["operation"] = s.operations
	}
	return object{
		"resourceType": "CapabilityStatement", "status": "active", "date": "2026-11-25", "kind": "instance", "fhirVersion": "4.0.1",
		"format": []string{"application/fhir+json"}, "software": object{"name": "Homeward discharge-hub"},
		"implementation": object{"description": "Handover from hospital to community", "url": s.Base}, "rest": []object{rest},
	}
}
