package goclient

import (
	"github.com/eu-sovereign-cloud/go-sdk/pkg/spec/schema"
	"github.com/eu-sovereign-cloud/go-sdk/secapi"
)

// What a machine is made of: volumes, and the instance.

const (
	volumeSku   = "skus/LE500"
	instanceSku = "seca.compute/v1/tenants/" + tenant + "/skus/seca.d2xs"
)

// inWorkspace is where all of a workspace is, as its references say it.
func inWorkspace(workspace string) string {
	return ofTheTenant + "/workspaces/" + workspace
}

func at(workspace, name string) *schema.RegionalWorkspaceResourceMetadata {
	return &schema.RegionalWorkspaceResourceMetadata{Tenant: tenant, Workspace: workspace, Name: name}
}

// newVolume is a volume; of an image, or blank if that is empty.
func newVolume(workspace, name, image string, sizeGB int) *schema.BlockStorage {
	volume := &schema.BlockStorage{
		Metadata: at(workspace, name),
		Spec:     schema.BlockStorageSpec{SizeGB: sizeGB, SkuRef: to(volumeSku)},
	}
	if image != "" {
		volume.Spec.SourceImageRef = pointer(to(image))
	}
	return volume
}

func volumes(s session, workspace, name, image string, sizeGB int) *kind[schema.BlockStorage, secapi.WorkspacePath, secapi.WorkspaceReference] {
	api := s.regional.StorageV1
	return &kind[schema.BlockStorage, secapi.WorkspacePath, secapi.WorkspaceReference]{
		kind: "block-storage", provider: "seca.storage/v1", collection: "block-storages", ref: inWorkspace(workspace),
		name: name, path: in(workspace), reference: named(workspace, name),
		list: api.ListBlockStorages, listWith: api.ListBlockStoragesWithOptions,
		get: api.GetBlockStorage, until: api.GetBlockStorageUntilState, gone: api.WatchBlockStorageUntilDeleted,
		put: api.CreateOrUpdateBlockStorage, putIf: putIf(api.CreateOrUpdateBlockStorageWithParams),
		remove: api.DeleteBlockStorage, removeIf: doIf(api.DeleteBlockStorageWithParams),
		look:    func(r *schema.BlockStorage) look { return looked(ofWorkspaces(r.Metadata), &r.Labels, r.Status) },
		made:    func() *schema.BlockStorage { return newVolume(workspace, name, image, sizeGB) },
		alter:   func(r *schema.BlockStorage) { r.Spec.SizeGB++ },
		altered: func(r *schema.BlockStorage) bool { return r.Status.SizeGB == sizeGB+1 },
	}
}

func newInstance(workspace, name, volume, nic string) *schema.Instance {
	instance := &schema.Instance{
		Metadata: at(workspace, name),
		Spec: schema.InstanceSpec{
			SkuRef: to(instanceSku), Zone: "a", SshKeys: []string{"ssh-ed25519 AAAA proof"},
			BootVolume: schema.VolumeReference{DeviceRef: to("block-storages/" + volume), Type: schema.VolumeReferenceTypeVirtio},
		},
	}
	if nic != "" {
		instance.Spec.PrimaryNicRef = pointer(to("nics/" + nic))
	}
	return instance
}

func instances(s session, workspace, name, volume, nic string) *kind[schema.Instance, secapi.WorkspacePath, secapi.WorkspaceReference] {
	api := s.regional.ComputeV1
	return &kind[schema.Instance, secapi.WorkspacePath, secapi.WorkspaceReference]{
		kind: "instance", provider: "seca.compute/v1", collection: "instances", ref: inWorkspace(workspace),
		name: name, path: in(workspace), reference: named(workspace, name),
		list: api.ListInstances, listWith: api.ListInstancesWithOptions,
		get: api.GetInstance, until: api.GetInstanceUntilState, gone: api.WatchInstanceUntilDeleted,
		put: api.CreateOrUpdateInstance, putIf: putIf(api.CreateOrUpdateInstanceWithParams),
		remove: api.DeleteInstance, removeIf: doIf(api.DeleteInstanceWithParams),
		look:    func(r *schema.Instance) look { return looked(ofWorkspaces(r.Metadata), &r.Labels, r.Status) },
		made:    func() *schema.Instance { return newInstance(workspace, name, volume, nic) },
		alter:   func(r *schema.Instance) { r.Spec.AntiAffinityGroup = "proof" },
		altered: func(r *schema.Instance) bool { return r.Spec.AntiAffinityGroup == "proof" },
	}
}
