# SPDX-License-Identifier: Apache-2.0
# Completion of berth for bash; made by `berth completion bash`.
_berth()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local noun= verb= words= i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -s|--socket|-t|--timeout|-o|--output) ((i++)) ;;
        -*) ;;
        help) [[ $noun ]] || continue ;;
        *)
            if [[ -z $noun ]]; then
                noun=${COMP_WORDS[i]}
            elif [[ -z $verb ]]; then
                verb=${COMP_WORDS[i]}
            fi ;;
        esac
    done
    COMPREPLY=()
    case $prev in
    -s|--socket) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    esac
    case "$noun $verb $prev" in
    "vn add --arp") words='suppress flood' ;;
    "vn add --reply") words='centralised distributed' ;;
    "show mappings --daemon") words='nve tes nva' ;;
    "show counters --daemon") words='nve tes nva' ;;
    "show sessions --daemon") words='nve tes nva' ;;
    "show timers --daemon") words='nve tes nva' ;;
    "vm emigrate --phase") words='prepare hold commit' ;;
    "vm immigrate --phase") words='pre asso' ;;
    "log "*" --level") words='error warning notice info debug' ;;
    "log "*" --daemon") words='nve tes nva' ;;
    "ping "*" --daemon") words='nve tes nva' ;;
    "completion "*" --shell") words='bash mdoc' ;;
    esac
    if [[ -z $words ]]; then
        case "$noun $verb" in
        ' ') words='vn mapping show vm log trace ping help completion' ;;
        'vn ') words='add list del' ;;
        'mapping ') words='clear' ;;
        'show ') words='attachments tags mappings vns holds ports counters sessions timers reservations talkers vms uplinks' ;;
        'vm ') words='preassociate associate suspend resume emigrate immigrate terminate follow list' ;;
        'trace ') words='vm' ;;
        "vn add") words='--vni --name --arp --mtu --reply --pull' ;;
        "vn del") words='--vni --name' ;;
        "mapping clear") words='--vni --mac' ;;
        "show attachments") words='--port --vni --mac --vsi --state' ;;
        "show tags") words='--port --vni --vid --state' ;;
        "show mappings") words='--vni --mac --ip --owner --daemon' ;;
        "show counters") words='--all --daemon' ;;
        "show sessions") words='--daemon' ;;
        "show timers") words='--daemon' ;;
        "show reservations") words='--vni --mac --owner --target' ;;
        "show talkers") words='--vni' ;;
        "vm preassociate") words='--vsi --vn --vni --mac --ip --if --uplink --vid --pcp --format --type --type-version --confirm --epoch --migration' ;;
        "vm associate") words='--vsi --vn --vni --mac --ip --if --uplink --vid --pcp --format --type --type-version --confirm --epoch --migration' ;;
        "vm suspend") words='--vsi' ;;
        "vm resume") words='--vsi' ;;
        "vm emigrate") words='--vsi --phase --target --epoch --migration' ;;
        "vm immigrate") words='--vsi --vn --vni --mac --ip --if --uplink --vid --pcp --format --type --type-version --confirm --epoch --migration --phase --source --suspended' ;;
        "vm terminate") words='--vsi' ;;
        "vm follow") words='--if --mac --uplink' ;;
        "log "*"") words='--module --level --daemon error warning notice info debug' ;;
        "trace vm") words='--vsi --at --from --all' ;;
        "ping "*"") words='--daemon' ;;
        "completion "*"") words='--shell bash mdoc' ;;
        esac
        [[ $cur == -* ]] && words+=' --socket --json --timeout --output --help --version'
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _berth berth
