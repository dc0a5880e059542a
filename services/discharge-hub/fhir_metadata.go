package dischargehub

import (
	"net/http"

	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
)

// capabilities is GET metadata: what the table of routes offers.
func capabilities(d *fhirDoor, _ *call) (fhirReply, error) {
	s := fhir.Server{Base: d.base, TokenURL: d.base[:len(d.base)-len(fhirPath)] + tokenPath}
	for _, r := range routes() {
		s.Offer(r.resource, r.interaction, r.method == http.MethodPut && r.path == "/"+r.resource)
	}
	return fhirReply{status: http.StatusOK, body: s.CapabilityStatement()}, nil
}

// openAPI is GET openapi.yaml.
func openAPI(*fhirDoor, *call) (fhirReply, error) {
	return fhirReply{status: http.StatusOK, text: fhir.OpenAPI, contentType: "application/yaml"}, nil
}
