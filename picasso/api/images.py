"""The images of a session."""

from __future__ import annotations

from flask import url_for

from picasso.api.blueprint import blueprint, concerning
from picasso.api.once import once
from picasso.api.schemas import Images, ImageShown, Refused, Upload, Uploaded
from picasso.api.visitors import MAY_HAVE_A_SESSION, NEEDS_A_SESSION, own_or_new_session, own_session, token, visitor
from picasso.errors import NotFound
from picasso.runs.run import StoredImage
from picasso.web.services import forget_session, services

OF_AN_IMAGE = {
    name: {"operationId": operation, "parameters": {"image": "$response.body#/images/0/id"}}
    for name, operation in {"Read": "image", "Delete": "delete_image"}.items()
}


@blueprint.post("/images")
@once
@blueprint.input(Upload, location="files")
@blueprint.output(
    Uploaded,
    201,
    links=OF_AN_IMAGE
    | {
        "Explain": {
            "operationId": "start_run",
            "requestBody": {"visualization": "class-probabilities", "images": ["$response.body#/images/0/id"]},
        }
    },
)
@blueprint.doc(operation_id="upload", security=MAY_HAVE_A_SESSION)
def upload(files_data: Upload) -> Uploaded:
    """Takes images into the session, which is made if the request names none.

    Files that are refused do not hold up the others; where none was taken, the first reason is the error.
    """
    new = visitor() is None
    session = own_or_new_session()
    accepted, refused = services().sessions.add_files(session, files_data.file)
    if not accepted:
        if new:
            services().sessions.delete(session)
            forget_session()
        with concerning("file"):
            raise refused[0].error
    return Uploaded(
        session=token(session),
        images=[shown(image) for image in accepted],
        refused=[Refused(filename=one.filename, code=one.error.code, message=one.error.message) for one in refused],
    )


@blueprint.get("/images")
@blueprint.output(Images)
@blueprint.doc(operation_id="images", security=NEEDS_A_SESSION)
def images() -> Images:
    """The images of the session."""
    return Images(images=[shown(image) for image in services().store.images(own_session())])


@blueprint.get("/images/<image>")
@blueprint.output(ImageShown)
@blueprint.doc(operation_id="image", security=NEEDS_A_SESSION)
def image(image: str) -> ImageShown:
    """One image of the session."""
    return shown(_kept(image))


@blueprint.delete("/images/<image>")
@blueprint.doc(
    operation_id="delete_image", security=NEEDS_A_SESSION, responses={204: "It is gone; runs that show it keep it."}
)
def delete_image(image: str) -> tuple[str, int]:
    """Deletes an image."""
    found = _kept(image)
    services().store.remove_image(found.session, found.id)
    return "", 204


def shown(image: StoredImage) -> ImageShown:
    """An image as programs see it."""
    return ImageShown(
        id=image.id,
        filename=image.filename,
        width=image.width,
        height=image.height,
        format=image.format,
        notes=image.notes,
        url=url_for("api.image", image=image.id),
    )


def _kept(image: str) -> StoredImage:
    """An image that was not deleted; runs may still show one that was."""
    for found in services().store.images(own_session()):
        if found.id == image:
            return found
    raise NotFound("There is no such image in this session. It may have been deleted.")
