"""Feedback buttons: contact bounce taken out, one vote for one visitor, mashing counted and not voted.

The firmware's terminal and the simulator use it. No clock inside: callers say how much time has gone by.
"""

DEBOUNCE_MS = 30  # a contact bounces for 5 to 20 ms
LOCKOUT_MS = 3000  # after a press, further ones within this time are the same visitor's


class ButtonPanel:
    """The buttons of one terminal. A set bit = that button is down.

    A press counts once, when it goes down, however long it is held. For lockout_ms after a counted press, presses of
    any button are counted as suppressed instead; so is a second button while the first is held down.
    """

    def __init__(self, buttons, debounce_ms=DEBOUNCE_MS, lockout_ms=LOCKOUT_MS):
        self.buttons = buttons
        self.debounce_ms = debounce_ms
        self.lockout_ms = lockout_ms
        self.suppressed = [0] * buttons  # since the last take_suppressed
        self.down = 0  # buttons held down, bounce taken out
        self.press_ago_ms = 0  # how long before the last step's end the reported press was made
        self._raw = 0
        self._raw_age_ms = 0
        self._locked_ms = 0  # how much of the lockout is left

    def start(self, down):
        """Begin with these buttons down; whoever holds one through a start does not vote."""
        self._raw = down
        self._raw_age_ms = 0
        self.down = down
        self._locked_ms = 0

    def quiet(self):
        """True when no time is running: until a button moves, further steps would change nothing."""
        return self._raw == self.down and self._locked_ms == 0

    def step(self, elapsed_ms, down):
        """Let elapsed_ms go by, then take `down` as what the contacts show from now on.

        Returns the bit of the button whose press counts, or 0.
        """
        voted = 0
        age_ms = self._raw_age_ms + elapsed_ms
        locked_ms = self._locked_ms
        if self._raw != self.down and age_ms >= self.debounce_ms:
            locked_then_ms = locked_ms - (
                elapsed_ms - (age_ms - self.debounce_ms)
            )  # when the contact was believed
            pressed = self._raw & ~self.down
            held = self._raw & self.down
            self.down = self._raw
            for button in range(self.buttons):
                bit = 1 << button
                if not pressed & bit:
                    continue
                if voted or held or locked_then_ms > 0:
                    self.suppressed[button] += 1
                else:
                    voted = bit
                    self.press_ago_ms = age_ms
                    locked_ms = self.lockout_ms - (age_ms - self.debounce_ms) + elapsed_ms
        self._locked_ms = max(locked_ms - elapsed_ms, 0)
        if down != self._raw:
            self._raw = down
            age_ms = 0
        self._raw_age_ms = min(age_ms, self.debounce_ms)
        return voted

    def take_suppressed(self):
        """The suppressed presses of each button since the last call, as a list; starts again at zero."""
        taken = self.suppressed
        self.suppressed = [0] * self.buttons
        return taken
