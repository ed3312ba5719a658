// Package goclient lets the released Go client of the Sovereign European Cloud API talk to a live Rempart, unchanged and by its typed
// calls alone: `make go-client` (tests/tests/go_client.rs starts the server and says where it is).
//
// Every test begins from what another client would have: an address, a token, the name of a tenant. What the client does with an answer
// is the client's: where it maps a status to an error, that error is what is expected here.
package goclient

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/eu-sovereign-cloud/go-sdk/pkg/constants"
	"github.com/eu-sovereign-cloud/go-sdk/pkg/spec/schema"
	"github.com/eu-sovereign-cloud/go-sdk/secapi"
)

// What the server was started with.
const (
	region      = "local"
	tenant      = "acme"
	shared      = "public"
	publicImage = "tenants/public/images/tiny"
)

// patience is how long a test waits for anything: long enough for a guest under emulation on a busy machine.
const patience = 4 * time.Minute

// session is a caller with its clients, as they came of the discovery.
type session struct {
	global   *secapi.GlobalClient
	regional *secapi.RegionalClient
}

func setting(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run this by `make go-client`", name)
	}
	return value
}

// within is a context that ends when the test has waited for too long.
func within(t *testing.T) context.Context {
	// Not the test's own context, which has ended when it cleans up.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// open is a caller with this token, who knows nothing but the server's address.
func open(t *testing.T, token string) session {
	t.Helper()
	ctx := within(t)
	known := secapi.GlobalEndpoints{WellknownV1: setting(t, "REMPART_URL")}
	first, err := secapi.NewGlobalClient(&secapi.GlobalConfig{AuthToken: token, Endpoints: known})
	must(t, "a client", err)
	document, err := first.WellknownV1.GetWellknown(ctx)
	must(t, "the discovery", err)
	for _, endpoint := range document.Endpoints {
		switch endpoint.Provider {
		case constants.RegionProviderV1Name:
			known.RegionV1 = endpoint.Url
		case constants.AuthorizationProviderV1Name:
			known.AuthorizationV1 = endpoint.Url
		}
	}
	if known.RegionV1 == "" || known.AuthorizationV1 == "" {
		t.Fatalf("the discovery names no region or authorization provider: %+v", document)
	}
	global, err := secapi.NewGlobalClient(&secapi.GlobalConfig{AuthToken: token, Endpoints: known})
	must(t, "a client of what was discovered", err)
	regional, err := global.NewRegionalClient(ctx, region)
	must(t, "a client of the region", err)
	return session{global, regional}
}

// owner is the tenant's owner.
func owner(t *testing.T) session {
	t.Helper()
	return open(t, setting(t, "REMPART_TOKEN"))
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// expect says that a call is answered by exactly this error of the client; nil is none.
func expect(t *testing.T, what string, err, expected error) {
	t.Helper()
	if !errors.Is(err, expected) {
		t.Errorf("%s: %v instead of %v", what, err, expected)
	}
}

func equal[T comparable](t *testing.T, what string, found, expected T) {
	t.Helper()
	if found != expected {
		t.Errorf("%s: %v instead of %v", what, found, expected)
	}
}

// until is how the client waits for a state. It halves its interval each time and so asks ever faster; what bounds it is the context.
func until[V any](values ...V) secapi.ResourceObserverUntilValueConfig[V] {
	return secapi.ResourceObserverUntilValueConfig[V]{
		ExpectedValues: values, Interval: time.Second, MaxAttempts: 1_000_000,
	}
}

var active = until(schema.ResourceStateActive)

// away is how the client waits until something is gone.
var away = secapi.ResourceObserverConfig{Interval: time.Second, MaxAttempts: 1_000_000}

func in(workspace string) secapi.WorkspacePath {
	return secapi.WorkspacePath{Tenant: tenant, Workspace: secapi.WorkspaceID(workspace)}
}

func named(workspace, name string) secapi.WorkspaceReference {
	return secapi.WorkspaceReference{Tenant: tenant, Workspace: secapi.WorkspaceID(workspace), Name: name}
}

func ofTenant(name string) secapi.TenantReference {
	return secapi.TenantReference{Tenant: tenant, Name: name}
}

func to(resource string) schema.Reference {
	return schema.Reference{Resource: resource}
}

func pointer[T any](value T) *T {
	return &value
}
