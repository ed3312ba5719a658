package goclient

import (
	"testing"

	"github.com/eu-sovereign-cloud/go-sdk/pkg/spec/schema"
	"github.com/eu-sovereign-cloud/go-sdk/secapi"
)

// TestStrangers asks with a token that is none, and as somebody to whom nothing was given; until something is.
func TestStrangers(t *testing.T) {
	ctx := within(t)
	known := secapi.GlobalEndpoints{WellknownV1: setting(t, "REMPART_URL")}
	nobody, err := secapi.NewGlobalClient(&secapi.GlobalConfig{AuthToken: "no token", Endpoints: known})
	must(t, "a client", err)
	document, err := nobody.WellknownV1.GetWellknown(ctx)
	must(t, "the discovery, which is everybody's", err)
	for _, endpoint := range document.Endpoints {
		known.RegionV1, known.AuthorizationV1 = endpoint.Url, endpoint.Url
		nobody, err = secapi.NewGlobalClient(&secapi.GlobalConfig{AuthToken: "no token", Endpoints: known})
		must(t, "a client", err)
		if endpoint.Provider == "seca.region/v1" {
			_, err = nobody.RegionV1.GetRegion(ctx, region)
		} else {
			_, err = nobody.AuthorizationV1.GetRole(ctx, ofTenant("seca.admin"))
		}
		expect(t, endpoint.Provider, err, secapi.ErrUnauthorizedAccess)
	}

	s, stranger := owner(t), open(t, setting(t, "REMPART_STRANGER_TOKEN"))
	const workspace = "rights"
	_, err = s.regional.WorkspaceV1.CreateOrUpdateWorkspace(ctx, newWorkspace(workspace))
	must(t, "a workspace", err)
	network := stranger.regional.NetworkV1
	gateway := &schema.InternetGateway{Metadata: at(workspace, "gateway")}
	reads := func() error {
		iterator, err := network.ListInternetGateways(ctx, in(workspace))
		must(t, "a list that nobody asked for yet", err)
		_, err = iterator.All(ctx)
		return err
	}
	writes := func() error {
		_, err := network.CreateOrUpdateInternetGateway(ctx, gateway)
		return err
	}
	expect(t, "a stranger reads", reads(), secapi.ErrForbiddenAccess)
	expect(t, "a stranger writes", writes(), secapi.ErrForbiddenAccess)
	expect(t, "a stranger deletes", network.DeleteInternetGateway(ctx, gateway), secapi.ErrForbiddenAccess)
	_, err = network.GetInternetGateway(ctx, named(workspace, "gateway"))
	expect(t, "a stranger looks for something", err, secapi.ErrForbiddenAccess)
	_, err = stranger.global.AuthorizationV1.CreateOrUpdateRole(ctx, newRole("mine"))
	expect(t, "a stranger makes a role", err, secapi.ErrForbiddenAccess)

	role := newRole("reader")
	role.Spec.Permissions = []schema.Permission{
		{Provider: "seca.network", Resources: []string{"internet-gateways/*"}, Verb: []string{"get", "list"}},
	}
	_, err = s.global.AuthorizationV1.CreateOrUpdateRole(ctx, role)
	must(t, "a role", err)
	assignment := newAssignment("reader", "reader")
	assignment.Spec.Subs = []string{"mallory"}
	assignment.Spec.Scopes = []schema.RoleAssignmentScope{{Workspaces: []string{workspace}}}
	_, err = s.global.AuthorizationV1.CreateOrUpdateRoleAssignment(ctx, assignment)
	must(t, "an assignment", err)
	expect(t, "a reader reads", reads(), nil)
	expect(t, "a reader writes", writes(), secapi.ErrForbiddenAccess)
	role.Spec.Permissions[0].Verb = []string{"*"}
	_, err = s.global.AuthorizationV1.CreateOrUpdateRole(ctx, role)
	must(t, "a wider role", err)
	expect(t, "a writer writes", writes(), nil)
	expect(t, "a writer deletes", network.DeleteInternetGateway(ctx, gateway), nil)
	must(t, "deleting the assignment", s.global.AuthorizationV1.DeleteRoleAssignment(ctx, assignment))
	must(t, "its end", s.global.AuthorizationV1.WatchRoleAssignmentUntilDeleted(ctx, ofTenant("reader"), away))
	expect(t, "a stranger again", reads(), secapi.ErrForbiddenAccess)
	must(t, "deleting the role", s.global.AuthorizationV1.DeleteRole(ctx, role))
	must(t, "deleting the workspace", s.regional.WorkspaceV1.DeleteWorkspace(ctx, newWorkspace(workspace)))
	must(t, "its end", s.regional.WorkspaceV1.WatchWorkspaceUntilDeleted(ctx, ofTenant(workspace), away))
}
