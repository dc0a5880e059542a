package dischargehub

import (
	"errors"
	"net/http"

	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/service"
)

// routes are all that the FHIR door offers.
func routes() []route {
	list := []route{
		{method: http.MethodGet, path: "/metadata", handle: capabilities, open: true},
		{method: http.MethodGet, path: "/openapi.yaml", handle: openAPI, open: true},
		{method: http.MethodPost, path: "/$process-message", interaction: "process-message", handle: processMessage},
	}
	for _, typ := range []string{fhir.Patient, fhir.Encounter, fhir.ServiceRequest} {
		list = append(list,
			route{method: http.MethodPost, path: "/" + typ, resource: typ, interaction: "create", handle: createResource},
			route{method: http.MethodPut, path: "/" + typ, resource: typ, interaction: "update", handle: updateByIdentifier},
			route{method: http.MethodPut, path: "/" + typ + "/{id}", resource: typ, interaction: "update", handle: updateResource},
			route{method: http.MethodGet, path: "/" + typ + "/{id}", resource: typ, interaction: "read", handle: readResource},
			route{method: http.MethodGet, path: "/" + typ, resource: typ, interaction: "search-type", handle: searchResources},
			route{method: http.MethodPost, path: "/" + typ + "/_search", resource: typ, interaction: "search-type", handle: searchResources},
		)
	}
	return append(list,
		route{method: http.MethodGet, path: "/Task", resource: "Task", interaction: "search-type", handle: searchTasks},
		route{method: http.MethodPost, path: "/Task/_search", resource: "Task", interaction: "search-type", handle: searchTasks},
		route{method: http.MethodGet, path: "/Task/{id}", resource: "Task", interaction: "read", handle: readTask},
		route{method: http.MethodGet, path: "/Task/{id}/$deliveries", resource: "Task", interaction: "deliveries", handle: readDeliveries},
	)
}

// tellBack keeps the Tasks of the clients' providers.
func tellBack(svc *service.Service, st *store, clients *roster) {
	if clients.clientsDir == "" {
		return
	}
	st.teller = &teller{clients: clients}
	svc.Loop("walk tasks", (&taskWalker{store: st, clients: clients, now: svc.Now}).Step, walkEvery, clients.walk)
}

// openFHIR opens the FHIR door to the network.
func (h *Hub) openFHIR(svc *service.Service, cfg Config) (*fhirListener, error) {
	public, err := publicURL(cfg.FHIRPublicURL)
	if err != nil {
		return nil, err
	}
	if (cfg.FHIRCertFile == "") != (cfg.FHIRKeyFile == "") {
		return nil, errors.New("FHIR_TLS_CERT_FILE and FHIR_TLS_KEY_FILE must be given together")
	}
	if cfg.TokenSigningKeyFile == "" {
		return nil, errors.New("TOKEN_SIGNING_KEY_FILE must be given with FHIR_ADDR: clients get their tokens there")
	}
	signer, err := authn.NewSigner(cfg.TokenSigningKeyFile, svc.Verifier)
	if err != nil {
		return nil, err
	}
	tokens := &tokenEndpoint{url: public + tokenPath, clients: h.clients, signer: signer, store: h.fhir.store, rates: h.fhir.rates, now: svc.Now}
	return listenFHIR(cfg.FHIRAddr, cfg.FHIRCertFile, cfg.FHIRKeyFile, h.FHIR(public, tokens), svc.Log)
}

// FHIR answers HTTP requests as the FHIR door does, under the address by which clients reach it; tokens answers those for a token.
func (h *Hub) FHIR(public string, tokens http.Handler) http.Handler {
	h.fhir.base, h.fhir.tokens = public+fhirPath, tokens
	return h.fhir.handler()
}
