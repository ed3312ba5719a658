//! The command line. Each command's own arguments are beside its code.

use clap::{Parser, Subcommand};

use crate::kinds::KindName;
use crate::output::Format;
use crate::session::Wishes;
use crate::{apply, console, context, host, image, launch, power};

const AFTER: &str = "\
Kinds go by singular, plural and short names: instance (vm), volume (vol), image, sku, storage-sku, network, ...
Where a NAME is asked for, a path (tenants/public/images/debian) or a whole URN will do.

Environment: REMPART_SERVER, REMPART_TOKEN, REMPART_CA_FILE, REMPART_TENANT, REMPART_WORKSPACE, REMPART_CONTEXT and
REMPART_CONFIG override the context; options override both. NO_COLOR turns colours off.

Exit codes: 0 done, 1 it went wrong, 2 usage, 3 not found, 4 refused by the server, 5 no answer or not in time,
130 interrupted.

Start with: rempart context add NAME --server https://HOST:PORT --tenant TENANT";

/// Virtual machines of a Rempart cloud, and what belongs to them.
#[derive(Debug, Parser)]
#[command(name = "rempart", version, after_help = AFTER, propagate_version = false, max_term_width = 110)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// Context to use instead of the current one
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// Tenant
    #[arg(short, long, global = true, value_name = "NAME")]
    tenant: Option<String>,
    /// Workspace
    #[arg(short, long, global = true, value_name = "NAME")]
    workspace: Option<String>,
    /// Network, for what lives in one (subnets, route tables)
    #[arg(long, global = true, value_name = "NAME")]
    network: Option<String>,
    /// How results are written
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,
}

impl Global {
    /// Server and place, as far as the command line says.
    pub(crate) fn wishes(&self) -> Wishes {
        Wishes {
            context: self.context.clone(),
            tenant: self.tenant.clone(),
            workspace: self.workspace.clone(),
            network: self.network.clone(),
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Installations, and as whom to speak to them
    #[command(subcommand)]
    Context(context::Command),
    /// List the resources of a kind
    #[command(visible_alias = "ls")]
    List(List),
    /// Show one resource, or list a kind
    Get(Get),
    /// Say why a resource is as it is, and since when
    Explain(Explain),
    /// Create or change resources from a file, as `get -o yaml` writes them
    Apply(apply::Apply),
    /// Delete resources, and wait until they are gone
    #[command(visible_alias = "rm")]
    Delete(Delete),
    /// Create a virtual machine from an image, and start it
    Run(launch::Run),
    /// Start instances
    Start(power::Power),
    /// Shut instances down: the power button, and off after 30 seconds
    Stop(power::Power),
    /// Restart instances
    Restart(power::Power),
    /// Delete an instance and its volumes
    Remove(power::Remove),
    /// The serial console of an instance, or its VNC display
    Console(console::Console),
    /// Images
    #[command(subcommand)]
    Image(image::Command),
    /// List the hypervisor hosts (for operators)
    Hosts,
    /// A hypervisor host (for operators)
    #[command(subcommand)]
    Host(host::Command),
    /// Write the completions of a shell
    #[command(after_help = "bash: source <(rempart completion bash)\n\
                            zsh:  rempart completion zsh > \"${fpath[1]}/_rempart\"\n\
                            fish: rempart completion fish | source")]
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Version of this program
    Version,
}

/// `list`
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Which kind
    #[arg(ignore_case = true)]
    pub(crate) kind: KindName,
    /// Only those whose labels match, such as tier=web,env!=test
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub(crate) selector: Option<String>,
}

/// `get`
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// Which kind
    #[arg(ignore_case = true)]
    pub(crate) kind: KindName,
    /// Which ones; all when there is no name
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Only those whose labels match
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "names")]
    pub(crate) selector: Option<String>,
}

/// `explain`
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// Which kind
    #[arg(ignore_case = true)]
    pub(crate) kind: KindName,
    /// Which one
    pub(crate) name: String,
}

/// `delete`
#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// Which kind
    #[arg(ignore_case = true)]
    pub(crate) kind: KindName,
    /// Which ones
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

/// Whether and how long to wait.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Patience {
    /// Do not wait until it is done
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Seconds to wait at most; for as long as it takes when not given
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn kinds_go_by_many_names_and_a_misspelt_one_is_answered_with_the_nearest() {
        let kind = |text: &str| match Args::try_parse_from(["rempart", "list", text]) {
            Ok(Args { command: Command::List(list), .. }) => Ok(list.kind.0),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(kind("VMs"), Ok(rempart_api::Kind::Instance));
        assert_eq!(kind("block-storages"), Ok(rempart_api::Kind::BlockStorage));
        let wrong = kind("instanec").unwrap_err();
        assert!(wrong.contains("'instance'") && wrong.contains("similar"), "{wrong}");
    }
}
