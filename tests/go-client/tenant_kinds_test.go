package goclient

import (
	"slices"

	"github.com/eu-sovereign-cloud/go-sdk/pkg/spec/schema"
	"github.com/eu-sovereign-cloud/go-sdk/secapi"
)

// The kinds of a tenant: roles, assignments, workspaces, images.

var tenantPath = secapi.TenantPath{Tenant: tenant}

const ofTheTenant = "tenants/" + tenant

func newRole(name string) *schema.Role {
	return &schema.Role{
		Metadata: &schema.GlobalTenantResourceMetadata{Tenant: tenant, Name: name},
		Spec: schema.RoleSpec{Permissions: []schema.Permission{
			{Provider: "seca.compute", Resources: []string{"instances/*"}, Verb: []string{"get", "list"}},
		}},
	}
}

func roles(s session, name string) *kind[schema.Role, secapi.TenantPath, secapi.TenantReference] {
	api := s.global.AuthorizationV1
	return &kind[schema.Role, secapi.TenantPath, secapi.TenantReference]{
		kind: "role", provider: "seca.authorization/v1", collection: "roles", ref: ofTheTenant,
		name: name, path: tenantPath, reference: ofTenant(name),
		list: api.ListRoles, listWith: api.ListRolesWithOptions,
		get: api.GetRole, until: api.GetRoleUntilState, gone: api.WatchRoleUntilDeleted,
		put: api.CreateOrUpdateRole, putIf: putIf(api.CreateOrUpdateRoleWithParams),
		remove: api.DeleteRole, removeIf: doIf(api.DeleteRoleWithParams),
		look: func(r *schema.Role) look { return looked(ofGlobal(r.Metadata), &r.Labels, r.Status) },
		made: func() *schema.Role { return newRole(name) },
		alter: func(r *schema.Role) {
			r.Spec.Permissions = append(r.Spec.Permissions,
				schema.Permission{Provider: "seca.storage/v1", Resources: []string{"*"}, Verb: []string{"list"}})
		},
		altered: func(r *schema.Role) bool {
			return len(r.Spec.Permissions) == 2 && r.Spec.Permissions[1].Provider == "seca.storage/v1"
		},
	}
}

func newAssignment(name, role string) *schema.RoleAssignment {
	return &schema.RoleAssignment{
		Metadata: &schema.GlobalTenantResourceMetadata{Tenant: tenant, Name: name},
		Spec: schema.RoleAssignmentSpec{
			Roles:  []string{role},
			Subs:   []string{"bob"},
			Scopes: []schema.RoleAssignmentScope{{Tenants: []string{tenant}, Regions: []string{region}}},
		},
	}
}

func assignments(s session, name, role string) *kind[schema.RoleAssignment, secapi.TenantPath, secapi.TenantReference] {
	api := s.global.AuthorizationV1
	return &kind[schema.RoleAssignment, secapi.TenantPath, secapi.TenantReference]{
		kind: "role-assignment", provider: "seca.authorization/v1", collection: "role-assignments", ref: ofTheTenant,
		name: name, path: tenantPath, reference: ofTenant(name),
		list: api.ListRoleAssignments, listWith: api.ListRoleAssignmentsWithOptions,
		get: api.GetRoleAssignment, until: api.GetRoleAssignmentUntilState, gone: api.WatchRoleAssignmentUntilDeleted,
		put: api.CreateOrUpdateRoleAssignment, putIf: putIf(api.CreateOrUpdateRoleAssignmentWithParams),
		remove: api.DeleteRoleAssignment, removeIf: doIf(api.DeleteRoleAssignmentWithParams),
		look:    func(r *schema.RoleAssignment) look { return looked(ofGlobal(r.Metadata), &r.Labels, r.Status) },
		made:    func() *schema.RoleAssignment { return newAssignment(name, role) },
		alter:   func(r *schema.RoleAssignment) { r.Spec.Subs = append(r.Spec.Subs, "carol") },
		altered: func(r *schema.RoleAssignment) bool { return slices.Equal(r.Spec.Subs, []string{"bob", "carol"}) },
	}
}

func newWorkspace(name string) *schema.Workspace {
	return &schema.Workspace{Metadata: &schema.RegionalResourceMetadata{Tenant: tenant, Name: name}}
}

func workspaces(s session, name string) *kind[schema.Workspace, secapi.TenantPath, secapi.TenantReference] {
	api := s.regional.WorkspaceV1
	return &kind[schema.Workspace, secapi.TenantPath, secapi.TenantReference]{
		kind: "workspace", provider: "seca.workspace/v1", collection: "workspaces", ref: ofTheTenant,
		name: name, path: tenantPath, reference: ofTenant(name),
		list: api.ListWorkspaces, listWith: api.ListWorkspacesWithOptions,
		get: api.GetWorkspace, until: api.GetWorkspaceUntilState, gone: api.WatchWorkspaceUntilDeleted,
		put: api.CreateOrUpdateWorkspace, putIf: putIf(api.CreateOrUpdateWorkspaceWithParams),
		remove: api.DeleteWorkspace, removeIf: doIf(api.DeleteWorkspaceWithParams),
		look:    func(r *schema.Workspace) look { return looked(ofRegional(r.Metadata), &r.Labels, r.Status) },
		made:    func() *schema.Workspace { return newWorkspace(name) },
		alter:   func(r *schema.Workspace) { r.Annotations = schema.Annotations{"why": "a proof, äöü"} },
		altered: func(r *schema.Workspace) bool { return r.Annotations["why"] == "a proof, äöü" },
	}
}

func newImage(name, source string) *schema.Image {
	return &schema.Image{
		Metadata: &schema.RegionalResourceMetadata{Tenant: tenant, Name: name},
		Spec: schema.ImageSpec{
			BlockStorageRef: to(source),
			CpuArchitecture: schema.ImageSpecCpuArchitectureAmd64,
			Boot:            schema.ImageSpecBootBIOS,
		},
	}
}

func images(s session, name, source string) *kind[schema.Image, secapi.TenantPath, secapi.TenantReference] {
	api := s.regional.StorageV1
	return &kind[schema.Image, secapi.TenantPath, secapi.TenantReference]{
		kind: "image", provider: "seca.storage/v1", collection: "images", ref: ofTheTenant,
		name: name, path: tenantPath, reference: ofTenant(name),
		list: api.ListImages, listWith: api.ListImagesWithOptions,
		get: api.GetImage, until: api.GetImageUntilState, gone: api.WatchImageUntilDeleted,
		put: api.CreateOrUpdateImage, putIf: putIf(api.CreateOrUpdateImageWithParams),
		remove: api.DeleteImage, removeIf: doIf(api.DeleteImageWithParams),
		look:    func(r *schema.Image) look { return looked(ofRegional(r.Metadata), &r.Labels, r.Status) },
		made:    func() *schema.Image { return newImage(name, source) },
		alter:   func(r *schema.Image) { r.Spec.Initializer = schema.ImageSpecInitializerCloudinit22 },
		altered: func(r *schema.Image) bool { return r.Spec.Initializer == schema.ImageSpecInitializerCloudinit22 },
	}
}
