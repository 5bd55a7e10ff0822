"""What a user may say to the Docker engine."""

from lucy_core.engine import EngineOption

DOCKER_HOST = EngineOption(
    name="docker_host",
    metavar="ADDRESS",
    help="the Engine's address, unix:///path or tcp://host:port (default: $DOCKER_HOST, else the usual socket)",
)
DOCKER_OPTIONS = (
    EngineOption(
        name="mina_image",
        metavar="IMAGE",
        variable="MINA_IMAGE",
        help="run nodes from this image, as `mina`",
    ),
    EngineOption(
        name="archive_image",
        metavar="IMAGE",
        variable="ARCHIVE_IMAGE",
        help="run nodes of the role `archive` from this image",
    ),
    EngineOption(
        name="capture",
        choices=("auto", "fifo", "tcp", "attach"),
        help="how lines leave a container: a FIFO, TCP, or the Engine's attach stream; auto takes the best that works",
    ),
    EngineOption(
        name="shared_pipe", is_switch=True, help="one pipe for all nodes, each line tagged, in place of one a node"
    ),
    EngineOption(
        name="capture_filter", metavar="FILTER", help="write only lines that pass: a level, or a logproc filter"
    ),
    EngineOption(
        name="docker_log_max_size",
        metavar="SIZE",
        help="limit of a container's own log, which is a fallback and never the truth (default: 10m)",
    ),
    EngineOption(name="docker_memory", metavar="SIZE", help="limit of each container's memory, like 512m"),
    EngineOption(name="docker_cpus", metavar="NUMBER", help="processors that each container may use, like 0.5"),
    EngineOption(
        name="docker_disk_size",
        metavar="SIZE",
        help="give each node's state directory a disk of this size, held in memory; the fault DiskFull takes it",
    ),
    EngineOption(
        name="docker_libfaketime",
        metavar="PATH",
        help="start nodes with this machine's libfaketime.so.1; the fault ClockOffset takes it",
    ),
    EngineOption(
        name="docker_health",
        metavar="COMMAND",
        help="have the Engine run this in each container every two seconds; how it ends is the node's health",
    ),
    EngineOption(
        name="docker_ports",
        metavar="FIRST",
        help="publish the nodes' ports on loopback from this one on, in order (default: free ones)",
    ),
    EngineOption(name="statistics", is_switch=True, help="write what each node uses into the run, once a second"),
    DOCKER_HOST,
)
