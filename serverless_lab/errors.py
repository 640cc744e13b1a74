"""What can go wrong, and whose fault it is.

    LabError                    ours to explain: `error:` and `hint:` on stderr, exit code 1
      BadInput                  a value the user gave: option, request, file
        ScenarioError           scenarios/*.yaml
        TemplateError           the SAM or CloudFormation template
      PackagingError            a function's zip could not be built
      DeployError               the stack could not be created, updated or deleted
        TemplateRefused         the target finds fault with the template and has changed nothing
      TargetError               the target cannot be reached, or refuses
        EmulatorError           the embedded target: port in use, will not start, gone
        TargetBusy              an emulator that is there and does not answer in time
      NothingDeployed           there is no deployment to load, invoke or report on
      LoadError                 the load generator could not do its work
      ReportError               logs or run folders that cannot be read

Anything else is a bug and keeps its traceback. Packages raise, `cli` prints.
"""


class LabError(Exception):
    """An error with a way out.

    Args:
        message: what happened, naming the value.
        hint: what to do about it; None where nothing sensible can be said.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInput(LabError):
    pass


class ScenarioError(BadInput):
    pass


class TemplateError(BadInput):
    pass


class PackagingError(LabError):
    pass


class DeployError(LabError):
    pass


class TemplateRefused(DeployError):
    pass


class TargetError(LabError):
    pass


class EmulatorError(TargetError):
    pass


class TargetBusy(TargetError):
    pass


class NothingDeployed(LabError):
    pass


class LoadError(LabError):
    pass


class ReportError(LabError):
    pass
