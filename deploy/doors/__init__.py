"""From a workstation to the doors: over the user's own OpenSSH, one list of typed steps for each door.

ssh         a connection: commands and files, as root, through one master
inventory   which doors there are, and what is set for each (Ansible's YAML)
settings    what one door is told: name, camera, broker, secrets, keys
facts       what a machine is before anything is done to it
wheels      the software as files, for the machine's architecture and Python
steps       what is to be so, is it so already, make it so; one runner for install, dry-run and remove
plan        the steps that make a door, and those that take it away
report      the table at the end, and JSON
install     the command line
"""
