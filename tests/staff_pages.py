"""Short ways for tests to the pages of the staff door."""

import re

from django.urls import reverse


def page(name: str, *args, **query) -> str:
    """Return the address of an admin page of the app: `page("apikey_change", key.pk)`."""
    return reverse(f"admin:keys_{name}", args=args, query=query)


def press(client, obj, button: str, **data):
    """Confirm what a button on the page of `obj` asks."""
    return client.post(page(f"{obj._meta.model_name}_press", obj.pk, button), data)


def act(client, name: str, action: str, *rows, **more):
    """Run an action of the list on the selected rows."""
    chosen = [row.pk for row in rows]
    return client.post(
        page(f"{name}_changelist"), {"action": action, "_selected_action": chosen, **more}
    )


def errors(response) -> str:
    """Return the texts of the errors on a page with forms."""
    listed = re.findall(r'class="errorlist[^>]*>(.*?)</ul>', response.text, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", "", each) for each in listed)
