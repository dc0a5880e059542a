package dischargehub

import (
	"errors"
	"net/http"
	"slices"

	"github.com/homeward-care/homeward/services/discharge-hub/fhir"
	"github.com/homeward-care/homeward/services/kit/authn"
	"github.com/homeward-care/homeward/services/kit/run"
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
func tellBack(svc *service.Service, st *store, clients map[string]client) {
	if len(clients) == 0 {
		return
	}
	st.teller = &teller{providers: map[string][]string{}, due: map[string]func(){}}
	for _, id := range sortedIDs(clients) {
		for _, provider := range providers(clients[id].Feeds) {
			told := st.teller.providers[provider]
			if clients[id].Webhook != nil {
				told = append(told, id)
			}
			st.teller.providers[provider] = told
		}
	}
	svc.Loop("walk tasks", (&taskWalker{store: st, now: svc.Now}).Step, walkEvery, nil)
}

// PostTasks posts the Tasks to the clients that have a webhook, so many of a client's at a time.
func (h *Hub) PostTasks(svc *service.Service, by *http.Client, atATime int) {
	for _, id := range sortedIDs(h.clients) {
		if h.clients[id].Webhook == nil {
			continue
		}
		wake := run.NewWake()
		h.store.teller.due[id] = wake.Raise
		p := &poster{client: h.clients[id], store: h.store, http: by, atATime: atATime, now: svc.Now, tracer: svc.TracerFor("discharge-hub"), log: svc.Log}
		svc.Loop("webhook of "+id, p.Step, postPoll, wake)
	}
}

func sortedIDs(clients map[string]client) (ids []string) {
	for id := range clients {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
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
	h.fhir.base = public + fhirPath
	h.fhir.tokens = &tokenEndpoint{url: public + tokenPath, clients: h.clients, signer: signer, store: h.fhir.store, now: svc.Now}
	return listenFHIR(cfg.FHIRAddr, cfg.FHIRCertFile, cfg.FHIRKeyFile, h.fhir.handler(), svc.Log)
}
