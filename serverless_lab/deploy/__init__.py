"""From a SAM or CloudFormation template to a stack on a target, and back to nothing.

    template    reads the template, checks parameters, finds the code, writes the packaged document; its text is parsed
                in template_text, what parameters may be is in parameters
    checks      refuses wrong names: references to nothing, misspelt property_names, runtimes that Lambda lacks
    assembly    what other tools leave: a CDK app's stacks and assets, a built SAM application
    intrinsics  what `!Sub`, `!If` and the like are worth before anything is deployed
    packaging   reproducible zips, dependencies for the function's runtime and architecture
    artifacts   the bucket where packages wait
    stack       change set, execution, result: `deploy_stack`
    events      a stack's history, once each and in order; how to wait
    verify      what the target really has against what the template asked for; repairs emulators
    inventory   the deployment as `lab` remembers it; whether it is still there
    destroy     removes all of it: `destroy_stack`
    progress    shows events while they come

`deploy` = `deploy_stack` -> `verify_stack` -> `describe_deployment`; every step gets a `Target` and tells its story
through callbacks (`on_event`, `on_step`). Files are read and written in `template`, `packaging`; the network is used in
`artifacts`, `stack`, `events`, `verify`, `inventory`, `destroy`. Nothing here prints but `progress`.
"""
