//! The command line. Each command's own arguments are beside its code.

use clap::{Parser, Subcommand};

use crate::kinds::KindName;
use crate::output::Format;
use crate::session::Wishes;
use crate::{apply, argument, cluster, console, context, fleet, host, image, launch, power};

const AFTER: &str = "\
Kinds go by singular, plural and short names: instance (vm), volume (vol), image, sku, storage-sku, network, ...
Where a NAME is asked for, a path (tenants/public/images/debian) or a whole URN will do.

Environment: REMPART_SERVER, REMPART_TOKEN, REMPART_CA_FILE, REMPART_TENANT, REMPART_WORKSPACE, REMPART_CONTEXT and
REMPART_CONFIG override the context; options override both. NO_COLOR turns colours off.

Results go to standard output, everything else to standard error. With -o json every command writes JSON, or nothing
when it fails; console (but for --log) and completion refuse it.

Exit codes:
  0    done
  1    it was tried and went wrong, or a question was answered with no; silently, when nobody reads the output any more
  2    the command line, the configuration or a file makes no sense; nothing was changed
  3    what was named is not there
  4    the server refused: no right, a conflict, a changed version, content that breaks a rule
  5    no answer, or not in time
  130  Ctrl-C

Start with: rempart context add NAME --server https://HOST:PORT --tenant TENANT
then:       rempart list images; rempart run web-1 --image debian --sku d2xs; rempart console web-1";

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
#[command(next_help_heading = "Common options")]
pub(crate) struct Global {
    /// Context to use instead of the current one
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// Tenant
    #[arg(short, long, global = true, value_name = "NAME", value_parser = argument::name)]
    tenant: Option<String>,
    /// Workspace
    #[arg(short, long, global = true, value_name = "NAME", value_parser = argument::name)]
    workspace: Option<String>,
    /// Network, for what lives in one (subnets, route tables)
    #[arg(long, global = true, value_name = "NAME", value_parser = argument::name)]
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
    /// Say where a resource stands: why, since when, by when, and what happens next
    Explain(Explain),
    /// Create or change resources from a file, as `get -o yaml` writes them
    Apply(apply::Apply),
    /// Delete resources, and wait until they are gone
    #[command(visible_alias = "rm")]
    Delete(Delete),
    /// Create a virtual machine from an image, and start it
    Run(launch::Run),
    /// Start instances
    #[command(after_help = "Example: rempart start web-1 web-2 --timeout 60")]
    Start(power::Power),
    /// Shut instances down: the power button, and off after 30 seconds
    #[command(after_help = "Example: rempart stop web-1")]
    Stop(power::Power),
    /// Restart instances
    #[command(after_help = "Example: rempart restart web-1 --no-wait")]
    Restart(power::Power),
    /// Delete an instance and its volumes
    Remove(power::Remove),
    /// The serial console of an instance, or its VNC display
    Console(console::Console),
    /// Images
    #[command(subcommand)]
    Image(image::Command),
    /// List the hypervisor hosts (for operators)
    #[command(after_help = "Example: rempart --context operator hosts -o json")]
    Hosts,
    /// A hypervisor host (for operators)
    #[command(subcommand)]
    Host(host::Command),
    /// The controllers themselves (for operators)
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// All hypervisor hosts together (for operators)
    #[command(subcommand)]
    Fleet(fleet::Command),
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
#[command(after_help = "\
Examples: rempart list vms -l tier=web
          rempart list images -t public -o json
          rempart list subnets --network front")]
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
#[command(after_help = "\
Examples: rempart get vm web-1 -o yaml > web-1.yaml
          rempart get image tenants/public/images/debian")]
pub(crate) struct Get {
    /// Which kind
    #[arg(ignore_case = true)]
    pub(crate) kind: KindName,
    /// Which ones; all when there is no name
    #[arg(value_name = "NAME", value_parser = argument::target)]
    pub(crate) names: Vec<String>,
    /// Only those whose labels match
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "names")]
    pub(crate) selector: Option<String>,
}

/// `explain`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: rempart explain vm web-1

With -o json or yaml: what the server says, whose conditions are the history, newest first.")]
pub(crate) struct Explain {
    /// Which kind
    #[arg(ignore_case = true)]
    pub(crate) kind: KindName,
    /// Which one
    #[arg(value_parser = argument::target)]
    pub(crate) name: String,
}

/// `delete`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: rempart delete volume data old-data --yes

It asks first. Where there is no terminal to ask on, it does nothing without --yes. An instance together with its
volumes: rempart remove NAME.")]
pub(crate) struct Delete {
    /// Which kind
    #[arg(ignore_case = true)]
    pub(crate) kind: KindName,
    /// Which ones
    #[arg(value_name = "NAME", required = true, value_parser = argument::target)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) consent: Consent,
    #[command(flatten)]
    pub(crate) patience: Patience,
}

/// Of whatever cannot be undone.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Consent {
    /// Do not ask first
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Whether and how long to wait.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Patience {
    /// Do not wait until it is done
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Seconds to wait at most; for as long as it takes when not given
    #[arg(long, value_name = "SECONDS", value_parser = argument::seconds)]
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
