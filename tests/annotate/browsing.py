"""A headless Chromium at the page of `segjax annotate`."""

import contextlib
import json
import os
import shutil
import tempfile
import time

import pytest

BINARIES = ("chromium", "chromium-browser", "google-chrome")
# Without these it asks its maker's servers for this and that
QUIET = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
)


def programs():
    """The browser and its driver; skips where there are none, unless they are required."""
    browser = next(filter(None, map(shutil.which, BINARIES)), None)
    driver = shutil.which("chromedriver")
    if not (browser and driver):
        line = "no Chromium with chromedriver is installed (Debian: chromium, chromium-driver)"
        if "browser" in os.environ.get("SEGJAX_REQUIRE", "").split(","):
            pytest.fail(line)
        pytest.skip(line)
    return browser, driver


class Window:
    """A page in a tab, and what a person does with it."""

    def __init__(self, driver, page, handle):
        self.driver, self.page, self.handle = driver, page, handle

    def here(self):
        """The driver, with this tab in front."""
        if self.driver.current_window_handle != self.handle:
            self.driver.switch_to.window(self.handle)
        return self.driver

    def js(self, code, *values):
        return self.here().execute_script(f"return {code}", *values)

    def wait(self, code, seconds=15):
        """Until a condition of the page holds."""
        end = time.monotonic() + seconds
        while not self.js(code):
            if time.monotonic() > end:
                logs = self.here().get_log("browser")
                pytest.fail(f"the page never came to: {code}; {logs}")
            time.sleep(0.02)

    def size(self, width, height, ratio=1):
        """The window in CSS pixels, and the device's pixels for each."""
        self.here().execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": False},
        )
        self.settle()

    def settle(self):
        """Until two frames have been drawn: what was asked for shows then."""
        self.here().execute_async_script(
            "const end = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(end))"
        )

    def load(self):
        self.here().get(self.page.address)
        self.wait("!!window.segjax")

    def reload(self):
        self.here().refresh()
        self.opened()

    def opened(self):
        """Until a photograph is shown."""
        self.wait("!!window.segjax && !!document.documentElement.dataset.openMs")

    def begin(self, name):
        """Gives a name in the form; where it is known already says that one is meant."""
        self.load()
        self.wait("!document.getElementById('welcome').hidden")
        field = self.find("name")
        field.clear()
        field.send_keys(name)
        self.keys("\ue007")
        there = "!document.getElementById('name-again').hidden"
        self.wait(f"{there} || !!document.documentElement.dataset.openMs")
        if self.js(there):
            self.find("continue").click()
        self.opened()

    def online(self, is_on):
        """Cuts the page off from its server, or brings it back."""
        self.here().execute_cdp_cmd("Network.enable", {})
        speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.driver.execute_cdp_cmd(
            "Network.emulateNetworkConditions", {"offline": not is_on, **speed}
        )

    def says(self, text):
        """Until the line of messages has a text in it."""
        self.wait(f"document.getElementById('message').textContent.includes({json.dumps(text)})")

    def deaf(self):
        """It does not look at the server when it is turned to again."""
        self.here().execute_script(
            "for (const name of ['focus', 'visibilitychange'])"
            " window.addEventListener(name, (event) => event.stopImmediatePropagation(), true)"
        )

    def find(self, id):
        return self.here().find_element("id", id)

    def text(self, id):
        return self.js("document.getElementById(arguments[0]).textContent", id)

    def keys(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.here()).send_keys(*keys).perform()

    def together(self, held, key):
        """A key while another is held."""
        from selenium.webdriver.common.action_chains import ActionChains

        chain = ActionChains(self.here()).key_down(held).send_keys(key).key_up(held)
        chain.perform()

    def pointer(self, *steps):
        """Moves to places in CSS pixels; `down` and `up` press and let go."""
        from selenium.webdriver.common.action_chains import ActionChains

        chain = ActionChains(self.here(), duration=10)
        for step in steps:
            if step == "down":
                chain.w3c_actions.pointer_action.pointer_down()
            elif step == "up":
                chain.w3c_actions.pointer_action.pointer_up()
            else:
                chain.w3c_actions.pointer_action.move_to_location(*map(round, step))
        chain.perform()

    def place_of(self, x, y):
        """Where a point of the photograph lies in the window."""
        return self.js("segjax.imageToClient(arguments[0], arguments[1])", x, y)

    def point_at(self, x, y):
        """The point of the photograph at a place of the window."""
        return self.js("segjax.clientToImage(arguments[0], arguments[1])", x, y)

    def click(self, x, y):
        """Clicks the photograph at a point of it; the point that was hit, by whole CSS pixels."""
        place = [round(v) for v in self.place_of(x, y)]
        self.pointer(place, "down", "up")
        return self.point_at(*place)

    def wheel(self, x, y, down):
        """Turns the wheel over a place of the window."""
        # The driver's own wheel actions need a visible window
        self.here().execute_cdp_cmd(
            "Input.dispatchMouseEvent",
            {"type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": down},
        )
        self.settle()

    def saved(self):
        self.wait("segjax.pending() === 0")

    @property
    def reading(self):
        self.saved()
        return self.js("segjax.reading()")

    def pixel(self, place):
        """What is drawn at a place of the window: red, green, blue."""
        self.settle()
        return self.js(
            "(() => { const c = document.querySelector('canvas'), b = c.getBoundingClientRect(),"
            " r = c.width / b.width; return [...c.getContext('2d').getImageData("
            "(arguments[0] - b.left) * r, (arguments[1] - b.top) * r, 1, 1).data].slice(0, 3); "
            "}).apply(null, arguments)",
            *place,
        )


class Browser:
    """A running browser."""

    def __init__(self, driver):
        self.driver = driver

    def window(self, page, size=(1280, 800), ratio=1):
        """A new tab; tabs share what the page remembers of display and names."""
        self.driver.switch_to.new_window("tab")
        made = Window(self.driver, page, self.driver.current_window_handle)
        made.size(*size, ratio)
        return made

    def close_windows(self):
        """Closes all tabs but the first."""
        first, *others = self.driver.window_handles
        for handle in others:
            self.driver.switch_to.window(handle)
            self.driver.close()
        self.driver.switch_to.window(first)


@contextlib.contextmanager
def started(pid=None):
    """A browser while the block runs; `pid` receives the number of its driver's process."""
    browser, driver = programs()
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        for flag in (*QUIET, f"--user-data-dir={home}"):
            options.add_argument(flag)
        if os.geteuid() == 0:  # its sandbox refuses to
            options.add_argument("--no-sandbox")
        service = Service(driver)
        made = webdriver.Chrome(options=options, service=service)
        if pid is not None:
            pid.append(service.process.pid)
        try:
            yield Browser(made)
        finally:
            with contextlib.suppress(Exception):  # it may have been killed
                made.quit()
            service.stop()
